"""What the model is asked while it makes rows for itself. The papers' questions in words of our own; a recipe can put
others in their place.

`{question}`, `{answer}` and `{description}` stand for theirs.
"""

from __future__ import annotations

CHECK = (
    "Here is a question with an answer. Question: {question} Answer: {answer} Is this true for this image, yes or no?"
)
"""Genixer (arXiv 2312.06731) asks a question and its answer together: true for this image, yes or no?"""

POINTS = """\
Judge the response below to the question about this image with an additive score of up to 5 points. Each criterion \
that is met adds one point:
- the response is relevant and says something about what is asked, even if incomplete or partly beside the point;
- it deals with a substantial part of the question;
- it answers the basic elements of the question in a useful way;
- it answers the question directly and completely, is well organised, and every step agrees with the image;
- it is without any fault: correct, precise, and with nothing that does not belong there.

Question: {question}

Response: {answer}

Justify your total briefly, in at most 100 words, and end with the line "Score: <total points>"."""
"""The additive prompt of self-rewarding language models (arXiv 2401.10020, figure 2), about a picture."""

GOOD = """\
Describe this image in detail, step by step:
- Name the main subjects and say what they do.
- Describe the setting and where everything stands.
- Describe the dominant colours and the composition, and every text, number and label that can be read.
- Point out details that matter for understanding the image.
- Where it fits, say what the image is meant to show."""
"""STIC's detailed prompt (arXiv 2405.19716), which brings the preferred description."""

PLAIN = (
    "Describe the details of this picture.",
    "Summarise what this picture shows.",
    "Explain what can be seen here.",
    "Name the key elements of this image.",
)
"""Under one of these STIC's pairs are learned, and by one of these a description is asked for."""

BAD = (
    "Describe the image together with things that are not in it but could be.",
    "Describe the image and add objects or labels that would fit, as if they were there.",
    "Describe what is likely to be just outside the picture as if it could be seen.",
    "Describe the image with invented numbers and details that sound plausible.",
)
"""STIC's poor prompts: they ask for what is not in the picture."""

INFUSED = "Image description:\n{description}\n\n{question}"
"""A question with the model's own description in front (STIC, second stage)."""

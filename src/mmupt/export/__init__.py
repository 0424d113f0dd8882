"""One ordinary Hugging Face folder out of a run: weights, tokenizer, processor, model card."""

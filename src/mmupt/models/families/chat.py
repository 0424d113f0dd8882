"""What families share: a chat template, placeholders that are written out, one flat row through a language model.

A family of its own writes `picture`, `features`, and how a picture stands in the text (`_layout`, `_layouts_of_sizes`).
Text is put together first and tokenized as a whole, as transformers' processors do, because a tokenizer may join what
a picture's own text and the words beside it have in common (newlines, above all). Only the image token, which no
tokenizer joins with anything, is repeated among the ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from PIL.Image import Image
from torch import Tensor, nn

from mmupt.algo.attention.base import Attention
from mmupt.errors import DataError, ModelError
from mmupt.models.families.base import PixelLimits
from mmupt.models.families.files import Beside, read_beside
from mmupt.types import EncodedPrompt, Picture


@dataclass(frozen=True, slots=True)
class Layout:
    """How one picture is written: `text` takes the place of the chat template's placeholder and holds one image token
    for each entry of `runs`, which becomes so many of them."""

    text: str
    runs: tuple[int, ...]


class ChatFamily:
    """Tokenizer and PIL picture processor; needs no torchvision."""

    parts: ClassVar[Mapping[str, tuple[str, ...]]]
    image_token: ClassVar[str | None] = None
    """What a picture's features stand in for; None where the model reads text alone."""
    placeholder: ClassVar[str | None] = None
    """What the chat template writes for an image part: the image token itself, if nothing else is said."""
    image_key: ClassVar[str] = "image_token_id"
    """The image token's key in config.json."""
    never_sampled: ClassVar[tuple[str, ...]] = ()
    """Tokens, or beginnings of tokens, that structure a prompt and are no part of an answer."""
    ends: ClassVar[tuple[str, ...]] = ("<|im_end|>", "<|endoftext|>")
    """Tokens that end an answer, beside the tokenizer's own. The first that is there closes a turn."""
    language_name: ClassVar[str] = "language_model"
    """The language model's name inside the model below the head."""
    blocks: ClassVar[bool] = False

    def __init__(self, config: Any, tokenizer: Any, image_processor: Any, beside: Beside | None = None) -> None:
        self.tokenizer = tokenizer
        self.image_processor = image_processor
        self.beside = Beside() if beside is None else beside
        self.template = self.beside.template or tokenizer.chat_template
        if self.template is None:
            raise ModelError(
                "the tokenizer has no chat template; use an instruction-tuned model, or add chat_template.jinja"
            )
        text_config = config.get_text_config()
        self.image_id = self._matching_image_id(config)
        if len(tokenizer) > text_config.vocab_size:
            raise ModelError(
                f"model and tokenizer do not belong together: the tokenizer has {len(tokenizer)} tokens, the model's "
                f"vocabulary {text_config.vocab_size}; load both from one folder"
            )
        self.windows = _windows(text_config)
        vocabulary = tokenizer.get_vocab()
        ends = [vocabulary[token] for token in self.ends if token in vocabulary]
        if tokenizer.eos_token_id is not None:
            ends.append(tokenizer.eos_token_id)
        if not ends:
            raise ModelError("the tokenizer has no token that ends an answer; use an instruction-tuned model")
        self.end_ids, self.turn_end = frozenset(int(end) for end in ends), int(ends[0])
        self.banned_ids = self._banned_ids(config, text_config.vocab_size)
        self._reserved = tuple(sorted(self._reserved_tokens(), key=len, reverse=True))

    @classmethod
    def load(cls, path: str, config: Any, revision: str | None = None) -> Self:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        processor = cls._image_processor(path, config, revision)
        return cls(config, tokenizer, processor, read_beside(path, revision))

    @classmethod
    def _image_processor(cls, path: str, config: Any, revision: str | None) -> Any:
        """The picture processor of `path`; None where the model reads text alone."""
        raise NotImplementedError

    def prepare(self, model: nn.Module) -> None:
        """Nothing: transformers' own modules are used as they are."""

    def picture(self, image: Image, limits: PixelLimits) -> Picture:
        raise NotImplementedError

    def features(self, model: nn.Module, pictures: Sequence[Picture]) -> list[Tensor]:
        raise NotImplementedError

    @property
    def not_in_vllm(self) -> str | None:
        return None

    def placeholders(self, encoded: EncodedPrompt) -> list[Tensor]:
        at = (encoded.token_ids == self.image_id).nonzero()[:, 0]
        return list(at.split([sum(self._layout(picture).runs) for picture in encoded.pictures]))

    def for_vllm(self, picture: Picture) -> dict[str, Tensor]:
        raise NotImplementedError

    def vllm_name(self, name: str) -> str:
        return name

    def vllm_processing(self, largest: int) -> dict[str, Any]:
        return {}

    def _layout(self, picture: Picture) -> Layout:
        """Of a picture that `picture` made."""
        raise NotImplementedError

    def _layouts_of_sizes(self, sizes: Sequence[tuple[int, int]], limits: PixelLimits) -> list[Layout]:
        """The same from the (width, height) of all images of a prompt."""
        raise NotImplementedError

    def _together(self, pictures: Sequence[Picture]) -> Sequence[Picture]:
        """The pictures of one prompt, where their number decides how each is cut up."""
        return pictures

    def encode(self, messages: Sequence[Mapping[str, Any]], pictures: Sequence[Picture]) -> EncodedPrompt:
        pictures = self._together(pictures)
        layouts = [self._layout(picture) for picture in pictures]
        return self._expand(self._tokenize(messages, layouts), layouts, pictures)

    def count_tokens(
        self, messages: Sequence[Mapping[str, Any]], sizes: Sequence[tuple[int, int]], limits: PixelLimits
    ) -> int:
        layouts = self._layouts_of_sizes(sizes, limits) if sizes else []
        length = len(self._tokenize(messages, layouts))
        return length + sum(run - 1 for layout in layouts for run in layout.runs)

    def hidden(
        self,
        model: nn.Module,
        input_ids_L: Tensor,
        positions_3L: Tensor,
        attention: Attention,
        features_ND: Tensor | None,
    ) -> Tensor:
        language = self._language(model)
        embedded_LD = self._embed(language, input_ids_L)
        more: Mapping[str, Any] = {}
        if features_ND is not None:
            placeholder_N = (input_ids_L == self.image_id).nonzero()[:, 0]
            features_ND, more = self._shown(features_ND, placeholder_N, embedded_LD)
            embedded_LD = embedded_LD.index_copy(0, placeholder_N, features_ND.to(embedded_LD.dtype))
        output = language(
            inputs_embeds=embedded_LD[None],
            position_ids=self._position_ids(positions_3L),
            attention_mask=embedded_LD.new_empty(1, 1, 0, 0),  # four dimensions: transformers leaves it as it is
            use_cache=False,
            packed=attention,
            **more,
        )
        return output.last_hidden_state[0]

    def head(self, model: nn.Module) -> nn.Module:
        return model.get_output_embeddings()  # type: ignore[operator]

    def layers(self, model: nn.Module) -> list[nn.Module]:
        return list(self._language(model).layers)

    def save(self, folder: str) -> None:
        self.tokenizer.chat_template = self.template
        self.tokenizer.save_pretrained(folder)
        if self.image_processor is not None:
            self.image_processor.save_pretrained(folder)
        self.beside.write(folder)

    def _language(self, model: nn.Module) -> Any:
        return getattr(core(model), self.language_name)

    def _embed(self, language: Any, input_ids_L: Tensor) -> Tensor:
        return language.embed_tokens(input_ids_L)

    def _shown(
        self, features_ND: Tensor, placeholder_N: Tensor, embedded_LD: Tensor
    ) -> tuple[Tensor, Mapping[str, Any]]:
        """What stands in for the embeddings of placeholders, and what else the language model is given."""
        return features_ND, {}

    def _position_ids(self, positions_3L: Tensor) -> Tensor:
        """As the language model takes them."""
        return positions_3L[:1]

    def _tokenize(self, messages: Sequence[Mapping[str, Any]], layouts: Sequence[Layout]) -> list[int]:
        """Ids with one image token a run."""
        self._refuse_reserved(messages)
        text = self.tokenizer.apply_chat_template(
            list(messages), chat_template=self.template, tokenize=False, add_generation_prompt=True
        )
        if (placeholder := self.placeholder or self.image_token) is not None:
            first, *rest = text.split(placeholder)
            if len(rest) != len(layouts):
                raise DataError(f"the chat template made {len(rest)} picture placeholders for {len(layouts)} pictures")
            text = first + "".join(layout.text + after for layout, after in zip(layouts, rest, strict=True))
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def _expand(self, ids: Sequence[int], layouts: Sequence[Layout], pictures: Sequence[Picture]) -> EncodedPrompt:
        """Every token one position on from the one before it; `_layout` says how long each run of image tokens is."""
        token_ids, runs = self._runs(ids, layouts)
        length = len(token_ids)
        blocks = tuple(runs) if self.blocks else ()
        return EncodedPrompt(token_ids, torch.arange(length).expand(3, -1), length, tuple(pictures), blocks)

    def _runs(self, ids: Sequence[int], layouts: Sequence[Layout]) -> tuple[Tensor, list[tuple[int, int]]]:
        """Ids with every run written out, and where each run lies (start, end)."""
        ids_N = torch.tensor(ids)
        repeat_N = torch.ones_like(ids_N)
        runs = torch.tensor([run for layout in layouts for run in layout.runs], dtype=torch.long)
        repeat_N[ids_N == self.image_id] = runs
        end_N = repeat_N.cumsum(0)
        found = [i for i, token in enumerate(ids) if token == self.image_id]
        return ids_N.repeat_interleave(repeat_N), [(int(end_N[i] - repeat_N[i]), int(end_N[i])) for i in found]

    def _refuse_reserved(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """A reserved token inside a question would be read as chat structure or as a picture."""
        for message in messages:
            parts = message["content"]
            texts = [parts] if isinstance(parts, str) else [part["text"] for part in parts if part["type"] == "text"]
            for text in texts:
                for token in self._reserved:
                    if token in text:
                        raise DataError(f"the text holds {token!r}, which the model reserves; remove it from the row")

    def _reserved_tokens(self) -> set[str]:
        tokens = set(self.tokenizer.get_added_vocab())
        return tokens | {token for token in (self.placeholder, self.image_token) if token is not None}

    def _matching_image_id(self, config: Any) -> int:
        """-1, which is no token, where the model reads text alone."""
        if self.image_token is None:
            return -1
        found = self.tokenizer.convert_tokens_to_ids(self.image_token)
        wanted = getattr(config, self.image_key)
        if found != wanted:
            raise ModelError(
                f"model and tokenizer do not belong together: the picture placeholder is id {wanted} in config.json "
                f"and {found} in the tokenizer; load both from one folder"
            )
        return int(found)

    def _banned_ids(self, config: Any, vocabulary: int) -> tuple[int, ...]:
        ids = {i for token, i in self.tokenizer.get_added_vocab().items() if token.startswith(self.never_sampled)}
        names = (self.image_key, "video_token_id", "vision_start_token_id", "vision_end_token_id")
        ids.update(getattr(config, name, None) for name in names)
        ids.update((self.tokenizer.bos_token_id, self.tokenizer.pad_token_id))
        ids.update(range(len(self.tokenizer), vocabulary))  # padding of the embedding matrix: no token at all
        return tuple(sorted(int(i) for i in ids if i is not None and i < vocabulary and i not in self.end_ids))


def core(model: nn.Module) -> Any:
    """The module below the LM head, also when a LoRA wrapper stands around the model."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model  # type: ignore[operator]
    return base.model


def split_tiles(features_NTD: Tensor, pictures: Sequence[Picture]) -> list[Tensor]:
    """Features of all tiles of all pictures, end to end, as [tokens, D] a picture."""
    counts = [len(picture.tensors["pixel_values"]) for picture in pictures]
    return [features.flatten(0, 1) for features in features_NTD.split(counts)]


def tiles_of(model: nn.Module, pictures: Sequence[Picture]) -> Tensor:
    """The tiles of all pictures, end to end, on the model's device."""
    pixels = torch.cat([picture.tensors["pixel_values"] for picture in pictures])
    return pixels.to(next(model.parameters()).device)


def picture_key(image: Image, *settings: object) -> str:
    """Names a picture by its pixels and by what decides how they are cut up, which is less than the result: an eighth
    of the bytes or so."""
    content = hashlib.blake2b(repr((image.size, *settings)).encode(), digest_size=16)
    content.update(image.tobytes())
    return content.hexdigest()


def side_of(config: Any, name: str) -> int:
    """The side of a tile or patch, which has to be a square, from an int or a pair in config.json."""
    size = getattr(config, name)
    sides = {int(size)} if isinstance(size, int) else {int(side) for side in size}
    if len(sides) != 1:
        raise ModelError(f"{name} = {size} in config.json is not a square: mmupt does not cut pictures into these")
    return sides.pop()


def _windows(text_config: Any) -> tuple[int, ...]:
    kinds = set(getattr(text_config, "layer_types", None) or ("full_attention",))
    if kinds - {"full_attention", "sliding_attention"}:
        raise ModelError(f"the model has layers of a kind that packed rows do not compute: {', '.join(sorted(kinds))}")
    if getattr(text_config, "use_bidirectional_attention", False):
        raise ModelError("the model's text is seen both ways, so it cannot generate; use a causal language model")
    return (int(text_config.sliding_window),) if "sliding_attention" in kinds else ()

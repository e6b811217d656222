"""Tiny random models, saved in the layout of the real checkpoints, and a small encyclopedia."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import pre_tokenizers


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny checkpoint, by the name of its architecture; made once."""
    import torch

    root = tmp_path_factory.mktemp("checkpoints")

    def folder(name: str) -> Path:
        if not (root / name).exists():
            torch.manual_seed(0)
            for part in MAKERS[name]():
                part.save_pretrained(root / name)
        return root / name

    return folder


@pytest.fixture(scope="session")
def yunet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    return yunet_file(tmp_path_factory.mktemp("faces"))


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("libzim")
    return archive_file(tmp_path_factory.mktemp("archive"))


def depth_anything() -> tuple[Any, ...]:
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config, DPTImageProcessor

    stages = [f"stage{number}" for number in range(1, 5)]
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, image_size=28, mlp_ratio=2,
        out_features=stages, reshape_hidden_states=False,
    )  # fmt: skip
    config = DepthAnythingConfig(
        backbone_config=backbone,
        reassemble_hidden_size=16,
        neck_hidden_sizes=[4, 4, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=4,
    )
    model = DepthAnythingForDepthEstimation(config)
    for parameter in model.head.parameters():
        parameter.data.abs_()  # else all of it may be cut off at 0
    return model, DPTImageProcessor(size={"height": 56, "width": 56}, ensure_multiple_of=14, keep_aspect_ratio=True, do_pad=False)


def grounding_dino() -> tuple[Any, ...]:
    from transformers import (
        BertConfig,
        BertTokenizer,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )  # fmt: skip

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "dog", "red", "ball"]
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=2, image_size=64, out_indices=[2, 3, 4]
        ),
        text_config=BertConfig(
            vocab_size=len(words), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64,
        ),
        d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, num_queries=10, num_feature_levels=3, encoder_n_points=2, decoder_n_points=2, max_text_len=32,
    )  # fmt: skip
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(words)})
    images = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 96})
    return GroundingDinoForObjectDetection(config), GroundingDinoProcessor(images, tokenizer)


def owlv2() -> tuple[Any, ...]:
    from transformers import Owlv2Config, Owlv2ForObjectDetection, Owlv2ImageProcessor, Owlv2Processor

    config = Owlv2Config(text_config=TEXT | {"vocab_size": 600}, vision_config=VISION, projection_dim=16)
    return Owlv2ForObjectDetection(config), Owlv2Processor(
        Owlv2ImageProcessor(size={"height": 32, "width": 32}), clip_tokenizer()
    )


def clip() -> tuple[Any, ...]:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    config = CLIPConfig(text_config=TEXT | {"vocab_size": 600}, vision_config=VISION, projection_dim=8)
    return CLIPModel(config), CLIPProcessor(images, clip_tokenizer())


def siglip() -> tuple[Any, ...]:
    from transformers import GemmaTokenizer, SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    tokenizer = GemmaTokenizer(vocab=letters("<pad>", "<eos>", "<bos>", "<unk>", "<mask>"), merges=[])
    config = SiglipConfig(text_config=TEXT | {"vocab_size": len(tokenizer), "projection_size": 16}, vision_config=VISION)
    return SiglipModel(config), SiglipProcessor(SiglipImageProcessor(size={"height": 32, "width": 32}), tokenizer)


def florence2() -> tuple[Any, ...]:
    from transformers import (
        BartConfig,
        CLIPImageProcessor,
        Florence2Config,
        Florence2ForConditionalGeneration,
        Florence2Processor,
        RobertaTokenizer,
    )  # fmt: skip

    tokenizer = RobertaTokenizer(
        vocab=letters("<s>", "<pad>", "</s>", "<unk>", "<mask>"), merges=[], extra_special_tokens={"image_token": "<image>"}
    )
    tokenizer.add_tokens([f"<loc_{number}>" for number in range(1000)], special_tokens=True)
    image_token = tokenizer.convert_tokens_to_ids("<image>")
    config = Florence2Config(
        text_config=BartConfig(
            vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
            encoder_attention_heads=2, decoder_attention_heads=2, bos_token_id=0, pad_token_id=1, eos_token_id=2,
            decoder_start_token_id=2,
        ),
        vision_config={
            "depths": [1] * 4, "embed_dim": [4, 8, 8, 16], "num_heads": [1] * 4, "num_groups": [1] * 4, "window_size": 4,
            "projection_dim": 16, "max_temporal_embeddings": 4, "max_position_embeddings": 10,
        },
        image_token_id=image_token, vocab_size=len(tokenizer),
    )  # fmt: skip
    images = CLIPImageProcessor(size={"height": 64, "width": 64}, do_center_crop=False)
    images.image_seq_length = 5
    answers = {"description_with_bboxes": {}}
    return Florence2ForConditionalGeneration(config), Florence2Processor(images, tokenizer, post_processor_config=answers)


SMALL = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = SMALL | {"max_position_embeddings": 16, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
VISION = SMALL | {"image_size": 32, "patch_size": 16}


def clip_tokenizer() -> Any:
    from transformers import CLIPTokenizer

    vocabulary = letters("!", "<|startoftext|>", "<|endoftext|>")
    ends = {f"{letter}</w>": len(vocabulary) + number for number, letter in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=vocabulary | ends, merges=[], model_max_length=16)


def letters(*special: str) -> dict[str, int]:
    tokens = dict.fromkeys([*special, *sorted(pre_tokenizers.ByteLevel.alphabet())])
    return {token: number for number, token in enumerate(tokens)}


MAKERS = {maker.__name__: maker for maker in (depth_anything, grounding_dino, owlv2, clip, siglip, florence2)}


def yunet_file(folder: Path) -> Path:
    """A network of YuNet's inputs and outputs that takes each white cell of a grid of 32 pixels for a face."""
    import numpy as np
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto
    nodes: list[Any] = []
    constants: list[Any] = []
    outputs: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(onnx.numpy_helper.from_array(value, name))
        return name

    for stride in (8, 16, 32):
        brightness = np.full((1, 3, stride, stride), 1 / (3 * 255 * stride**2), np.float32)
        seen = brightness if stride == 32 else brightness * 0  # only cells of 32 pixels count
        fields = {"cls": (seen, [0.0]), "obj": (seen * 0, [1.0]), "bbox": (0, [0.5, 0.5, 0, 0]), "kps": (0, [0.0] * 10)}
        for field, (weights, bias) in fields.items():
            name, width = f"{field}_{stride}", len(bias)
            kernel = weights if isinstance(weights, np.ndarray) else np.zeros((width, 3, stride, stride), np.float32)
            names = [constant(f"w_{name}", kernel), constant(f"b_{name}", np.array(bias, np.float32))]
            nodes += [
                helper.make_node("Conv", ["input", *names], [f"c_{name}"], kernel_shape=[stride] * 2, strides=[stride] * 2),
                helper.make_node("Transpose", [f"c_{name}"], [f"t_{name}"], perm=[0, 2, 3, 1]),
                helper.make_node("Reshape", [f"t_{name}", constant(f"s_{name}", np.array([1, -1, width]))], [name]),
            ]
            outputs.append(helper.make_tensor_value_info(name, kind.FLOAT, [1, None, width]))
    images = helper.make_tensor_value_info("input", kind.FLOAT, [1, 3, None, None])
    graph = helper.make_graph(nodes, "faces", [images], outputs, constants)
    path = folder / "yunet_tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), str(path))
    return path


ARTICLES = {
    "Eiffel Tower": "<table><tr><td><p>Height 330 m</p></td></tr></table><p> </p><p>The <b>Eiffel Tower</b> is a tower in Paris."
    "<sup>[1]</sup> It was built by G. Eiffel's company in 1889! It is 330 m high.</p>",
    "Tea": "<h1>Tea</h1><style>p {color: red}</style><p>Tea is a drink.</p>",
    "Empty": "<h1>Nothing here</h1>",
}


def archive_file(folder: Path) -> Path:
    """A ZIM archive with `ARTICLES`, a redirect, and an index of its text."""
    from libzim import writer

    class Page(writer.Item):  # type: ignore[name-defined, misc]
        def __init__(self, title: str, body: str) -> None:
            super().__init__()
            self.title, self.body = title, body

        def get_path(self) -> str:
            return str(self.title.replace(" ", "_"))

        def get_title(self) -> str:
            return str(self.title)

        def get_mimetype(self) -> str:
            return "text/html"

        def get_contentprovider(self) -> Any:
            return writer.StringProvider(f"<html><body>{self.body}</body></html>")

        def get_hints(self) -> dict[Any, int]:
            return {writer.Hint.FRONT_ARTICLE: 1}

    path = folder / "small.zim"
    with writer.Creator(str(path)).config_indexing(True, "eng") as creator:
        creator.set_mainpath("Tea")
        for title, body in ARTICLES.items():
            creator.add_item(Page(title, body))
        creator.add_redirection("Iron_Lady", "Iron Lady", "Eiffel_Tower", {writer.Hint.FRONT_ARTICLE: 1})
    return path

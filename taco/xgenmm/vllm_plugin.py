"""xGen-MM in vLLM, through its Transformers modeling backend. Written after vLLM's documentation and source; it was never run.

    $ vllm serve MODEL_DIR --chat-template-content-format openai      # with taco-lmm installed beside vLLM

vLLM calls `register` by the entry point ``vllm.general_plugins``, in each of its processes. docs/serving.md lists what it
asks of a model and which of it is met; tests/taco/xgenmm/test_vllm_plugin.py holds our classes against the list, without vLLM.
"""

from functools import cache
from typing import Any

import taco.xgenmm  # noqa: F401 - vLLM makes config, processor and model by the Auto classes, which this registers

ARCHITECTURE = "XGenMMForConditionalGeneration"
BACKEND = "TransformersMultiModalForCausalLM"
"""The backend's class. Ours has its name too, since vLLM tells by the name whether a model runs on the backend."""
PER_IMAGE = ("image_sizes", "num_tiles")
"""Inputs with one row for each image, where the backend expects one for each tile."""


def register() -> None:
    """Tell vLLM's registry of the architecture. May be called many times."""
    from vllm import ModelRegistry

    if ARCHITECTURE not in ModelRegistry.get_supported_archs():
        # By name: the class is made where it is used, after vLLM has set up its process.
        ModelRegistry.register_model(ARCHITECTURE, f"{__name__}:{BACKEND}")


def __getattr__(name: str) -> Any:
    if name == BACKEND:
        return _model_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _model_class() -> type:
    # Names are taken from the backend's own modules: where vLLM keeps them changes from version to version.
    from vllm.model_executor.models import transformers as backend
    from vllm.model_executor.models.transformers import multimodal

    class Processor(backend.MultiModalProcessor):  # type: ignore[misc]
        def _get_mm_fields_config(self, hf_inputs: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
            fields = dict(super()._get_mm_fields_config(hf_inputs, *args, **kwargs))
            batched = multimodal.MultiModalFieldConfig.batched
            return fields | {name: batched("image") for name in PER_IMAGE if name in hf_inputs}

        def _unpad_images(self, hf_inputs: Any) -> None:
            """Nothing: a tile is never padding, and `image_sizes` are those of the images before they became tiles."""

    class Model(backend.TransformersMultiModalForCausalLM):  # type: ignore[misc]
        def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
            size = vllm_config.parallel_config.tensor_parallel_size
            if size > 1:
                raise ValueError(
                    f"tensor_parallel_size is {size}, but Phi-3 packs its projections in a way that the backend cannot split. "
                    "Use --data-parallel-size or --pipeline-parallel-size, or one server for each GPU."
                )
            super().__init__(vllm_config=vllm_config, prefix=prefix)

    Model.__name__ = Model.__qualname__ = BACKEND
    register_processor = backend.MULTIMODAL_REGISTRY.register_processor(
        Processor, info=backend.MultiModalProcessingInfo, dummy_inputs=backend.MultiModalDummyInputsBuilder
    )
    return register_processor(Model)  # type: ignore[no-any-return]

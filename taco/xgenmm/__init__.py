"""xGen-MM (BLIP-3) v1.5 for transformers 5. Importing this package registers it with transformers' Auto classes.

Call: ``import taco.xgenmm; model = AutoModelForImageTextToText.from_pretrained(DIR)``
"""

# mypy: disable-error-code="no-untyped-call"
# transformers types only part of its methods.

from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoModelForImageTextToText, AutoProcessor

from taco.xgenmm.configuration_xgenmm import Blip3Config, XGenMMConfig
from taco.xgenmm.image_processing_xgenmm import XGenMMImageProcessor
from taco.xgenmm.modeling_xgenmm import XGenMMForConditionalGeneration, XGenMMModel, XGenMMPreTrainedModel
from taco.xgenmm.processing_xgenmm import XGenMMProcessor

# exist_ok: a reload in a notebook, or a transformers that one day ships its own xgenmm, must not break the import.
AutoConfig.register(XGenMMConfig.model_type, XGenMMConfig, exist_ok=True)
AutoConfig.register(Blip3Config.model_type, Blip3Config, exist_ok=True)
AutoModel.register(XGenMMConfig, XGenMMModel, exist_ok=True)
AutoModelForImageTextToText.register(XGenMMConfig, XGenMMForConditionalGeneration, exist_ok=True)
# The one back end answers for both names, or every load would warn that torchvision's is missing.
AutoImageProcessor.register(
    XGenMMConfig,
    image_processor_classes={"pil": XGenMMImageProcessor, "torchvision": XGenMMImageProcessor},
    exist_ok=True,
)
AutoProcessor.register(XGenMMConfig, XGenMMProcessor, exist_ok=True)

__all__ = [
    "XGenMMConfig",
    "XGenMMForConditionalGeneration",
    "XGenMMImageProcessor",
    "XGenMMModel",
    "XGenMMPreTrainedModel",
    "XGenMMProcessor",
]

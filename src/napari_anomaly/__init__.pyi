from .core.coding import decode, encode
from .core.comparing import Comparison, compare, compare_steps
from .core.data.defects.planting import Planted, Planting, Stock, plant, stock_of
from .core.data.folders import Dataset, open_folder
from .core.detector import Detector, load
from .core.fitting import fit, fit_steps
from .core.methods.knobs.autoencoder import Autoencoder
from .core.methods.knobs.dagmm import DAGMM
from .core.methods.knobs.denoising import Denoising
from .core.methods.knobs.fanogan import FAnoGAN
from .core.methods.knobs.linear import Linear
from .core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from .core.methods.knobs.svm import OneClassSVM
from .core.methods.knobs.vae import VAE
from .core.methods.knobs.vaegan import VAEGAN
from .core.methods.presets import recipe_of
from .core.methods.recipes import Recipe
from .core.methods.settings import changed
from .core.presence.check import (
    Presence,
    PresenceCheck,
    fit_presence,
    fit_presence_steps,
    load_presence,
)
from .core.report import Report, evaluate
from .core.synthesising import synthesise
from .core.tiling import Scan, scan, scan_steps
from .core.types import Inspection, Progress, Region, Sample
from .ui.comparing import add_comparison_to_viewer
from .ui.console import fit_layer, inspect_images_of, inspect_layer
from .ui.layers import add_to_viewer

__all__ = [
    "DAGMM",
    "VAE",
    "VAEGAN",
    "Autoencoder",
    "Comparison",
    "Dataset",
    "Denoising",
    "Detector",
    "FAnoGAN",
    "Inspection",
    "Linear",
    "OneClassSVM",
    "Planted",
    "Planting",
    "Presence",
    "PresenceCheck",
    "Progress",
    "Recipe",
    "Region",
    "Report",
    "SSIMAutoencoder",
    "Sample",
    "Scan",
    "Stock",
    "add_comparison_to_viewer",
    "add_to_viewer",
    "changed",
    "compare",
    "compare_steps",
    "decode",
    "encode",
    "evaluate",
    "fit",
    "fit_layer",
    "fit_presence",
    "fit_presence_steps",
    "fit_steps",
    "inspect_images_of",
    "inspect_layer",
    "load",
    "load_presence",
    "open_folder",
    "plant",
    "recipe_of",
    "scan",
    "scan_steps",
    "stock_of",
    "synthesise",
]

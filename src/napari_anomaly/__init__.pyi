from .core.data.folders import Dataset, open_folder
from .core.detector import Detector, load
from .core.fitting import fit, fit_steps
from .core.methods.knobs.autoencoder import Autoencoder
from .core.methods.knobs.denoising import Denoising
from .core.methods.knobs.linear import Linear
from .core.methods.knobs.ssim_autoencoder import SSIMAutoencoder
from .core.methods.knobs.vae import VAE
from .core.methods.recipes import Recipe
from .core.report import Report, evaluate
from .core.tiling import Scan, scan, scan_steps
from .core.types import Inspection, Progress, Region, Sample
from .ui.layers import add_to_viewer

__all__ = [
    "VAE",
    "Autoencoder",
    "Dataset",
    "Denoising",
    "Detector",
    "Inspection",
    "Linear",
    "Progress",
    "Recipe",
    "Region",
    "Report",
    "SSIMAutoencoder",
    "Sample",
    "Scan",
    "add_to_viewer",
    "evaluate",
    "fit",
    "fit_steps",
    "load",
    "open_folder",
    "scan",
    "scan_steps",
]

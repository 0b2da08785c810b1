"""Models by name, for lists and help texts: nothing here needs torch."""

__all__ = ["MODELS"]

MODELS: dict[str, tuple[str, str, str]] = {
    "hmr": ("train.models.hmr", "HMR", "ResNet-50 and iterative regression, frame by frame (Kanazawa et al. 2018)."),
    "mviper": ("train.models.mviper", "MVIPER", "Attention and LSTM over a shared frame model (Liu et al. 2019)."),
    "hpof": ("train.models.hpof", "HPOF", "Causal dilated convolutions with an optical-flow loss."),
    "spsnet": ("train.models.spsnet", "SPSNet", "Self-attention and forecasting with occlusion losses."),
    "tar": ("train.models.tar", "TAR", "Global transformer, local ConvGRU, recurrent refinement."),
    "vibe": ("train.models.vibe", "VIBE", "GRU over frozen features, motion discriminator (Kocabas et al. 2020)."),
    "tcmr": ("train.models.tcmr", "TCMR", "Past, future and whole-window GRUs (Choi et al. 2021)."),
    "smoothnet": ("train.models.smoothing", "SmoothNet", "Smooths another model's predictions (Zeng et al. 2022)."),
}
"""Module, class and one line for each model."""

//! What the user is told if there is no GPU to offload layers to.

use crate::build_info::{BACKEND, CPU_BACKEND};
use crate::cli::{Config, GpuLayers};

/// Why this build offloads nothing.
pub(super) fn no_gpu_reason() -> &'static str {
    reason(BACKEND)
}

/// A warning about options that have no effect without a GPU; `None` if none was given.
pub(super) fn ignored_options(config: &Config) -> Option<String> {
    gpu_options(config).map(|options| warning(BACKEND, &options))
}

/// The options in `config` that concern GPUs only.
fn gpu_options(config: &Config) -> Option<String> {
    let layers = match config.gpu_layers {
        GpuLayers::All => Some("--gpu-layers all".to_owned()),
        GpuLayers::Number(n) if n > 0 => Some(format!("--gpu-layers {n}")),
        GpuLayers::Auto | GpuLayers::Number(_) => None,
    };
    let reserve = config.vram_reserve.map(|_| "--vram-reserve".to_owned());
    let options: Vec<_> = layers.into_iter().chain(reserve).collect();
    (!options.is_empty()).then(|| options.join(" and "))
}

/// Why a build with this backend finds no GPU.
fn reason(backend: &str) -> &'static str {
    match backend {
        CPU_BACKEND => "this is a CPU-only build",
        _ => "no GPU was found, or its driver is missing",
    }
}

/// The warning about `options` that have no effect.
fn warning(backend: &str, options: &str) -> String {
    let verb = if options.contains(" and ") { "have" } else { "has" };
    let help = if backend == CPU_BACKEND { " (docs/BUILD.md)" } else { "" };
    format!("{options} {verb} no effect: {reason}{help}", reason = reason(backend))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_names_the_ignored_option_and_the_reason() {
        let line = warning("cpu", "--gpu-layers all");
        assert!(line.contains("--gpu-layers all") && line.contains("docs/BUILD.md"), "{line}");
        let line = warning("cuda", "--gpu-layers 3");
        assert!(line.contains("no GPU was found"), "{line}");
        assert!(!line.contains("docs/BUILD.md"), "{line}");
    }
}

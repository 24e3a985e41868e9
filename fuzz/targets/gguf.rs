//! The header of a model file: any file is described or refused in one line.

#![no_main]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use inference_core::llama::{
    GpuDevice, KvType, ModelDescription, ModelSource, OffloadTarget, Options, check, describe,
    describe_partial, plan_offload,
};
use inference_core_fuzz::{Budget, assert_plain_line, bounded};
use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};

/// Names of layers and of tensors take most of the memory.
const BUDGET: Budget = Budget {
    bytes: 4 << 20,
    bytes_per_byte: 256,
    time: Duration::from_millis(200),
    time_per_byte: Duration::from_micros(20),
};

/// The file that every input becomes. It is in memory.
static FILE: LazyLock<File> = LazyLock::new(|| {
    memfd_create("model.gguf", MemfdFlags::empty()).expect("Linux has files in memory").into()
});

fuzz_target!(|bytes: &[u8]| {
    FILE.set_len(bytes.len() as u64).expect("the memory is sufficient");
    FILE.write_all_at(bytes, 0).expect("the memory is sufficient");
    let path = PathBuf::from(format!("/proc/self/fd/{}", FILE.as_raw_fd()));
    let source = ModelSource::File(path);
    let whole = bounded(BUDGET, bytes.len(), || describe(&source));
    let partial = bounded(BUDGET, bytes.len(), || describe_partial(&source));
    match (whole, partial) {
        (Ok(whole), Ok(partial)) => {
            assert_eq!(whole, partial);
            assert!(whole.extent.is_whole());
            assert_plain_line(&whole.info.name);
            for warning in whole.warnings(4096, true) {
                assert_plain_line(&warning);
            }
            bounded(BUDGET, bytes.len(), || plan(&whole));
        }
        (Err(error), Ok(partial)) => {
            assert!(!partial.extent.is_whole(), "{error}");
            assert_plain_line(&error.to_string());
        }
        (Err(error), Err(_)) => assert_plain_line(&error.to_string()),
        (Ok(_), Err(error)) => panic!("a whole file is refused as a part: {error}"),
    }
});

/// Plans the model for the CPU alone and for GPUs of different sizes.
fn plan(model: &ModelDescription) {
    let gpu = |free| GpuDevice { name: "GPU".to_owned(), device: String::new(), free };
    let two = [gpu(1 << 20), gpu(8 << 30)];
    for (kv_type, parallel) in [(KvType::F16, 4), (KvType::Q8, 256)] {
        let options = Options {
            kv_type,
            gpu_layers: OffloadTarget::Auto,
            vram_reserve: 1 << 19,
            slot_tokens: u32::MAX / 512,
            parallel,
            ubatch: 512,
            n_draft: 15,
            threads: 2,
            has_adaptive_threads: true,
            flash_attention: None,
        };
        if let Err(error) = check(model, &options) {
            assert_plain_line(&error.to_string());
        }
        for gpus in [&[][..], &two[..1], &two] {
            let offload_plan = plan_offload(model, &options, gpus);
            assert_plain_line(&offload_plan.why);
        }
    }
}

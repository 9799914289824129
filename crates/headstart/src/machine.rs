//! What the operating system says of this process and this machine.

/// Most memory this process has had resident, in bytes; `None` where the system does not say.
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    bytes_of("/proc/self/status", "VmHWM:")
}

/// Memory of this machine, in bytes; `None` where the system does not say.
#[must_use]
pub(crate) fn memory_bytes() -> Option<u64> {
    bytes_of("/proc/meminfo", "MemTotal:")
}

/// Bytes that a line of a file of the kernel's gives in kB; none where there is no such file or line.
fn bytes_of(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|it| it.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// SIMD extensions of this processor that matter for inference.
#[must_use]
pub(crate) fn cpu_features() -> Vec<&'static str> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! detect {
            ($($name:tt),*) => { $( if std::arch::is_x86_feature_detected!($name) { features.push($name); } )* };
        }
        detect!("sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512vnni", "avx512bf16");
    }
    #[cfg(target_arch = "aarch64")]
    {
        macro_rules! detect {
            ($($name:tt),*) => { $( if std::arch::is_aarch64_feature_detected!($name) { features.push($name); } )* };
        }
        detect!("neon", "dotprod", "fp16", "i8mm", "bf16");
    }
    features
}

/// Bytes with a binary unit: `13.3 MiB`.
#[must_use]
pub fn bytes_in_words(n: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.1} {}", units[unit]) }
}

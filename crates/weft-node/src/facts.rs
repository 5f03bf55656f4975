//! What this machine is, measured.

use std::{fs, io, path::Path};

use weft_core::Facts;

/// Measures the machine; `store` lies on the disk that models go to.
pub(crate) fn measure(store: &Path) -> io::Result<Facts> {
    let disk = rustix::fs::statvfs(store)?;
    Ok(Facts {
        architecture: std::env::consts::ARCH.to_owned(),
        ram_bytes: ram_bytes(&fs::read_to_string("/proc/meminfo")?)?,
        disk_bytes: disk.f_bavail.saturating_mul(disk.f_frsize),
        isa: instruction_sets(),
    })
}

fn ram_bytes(meminfo: &str) -> io::Result<u64> {
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix("kB"))
        .and_then(|kib| kib.trim().parse::<u64>().ok())
        .and_then(|kib| kib.checked_mul(1024))
        .ok_or_else(|| io::Error::other("/proc/meminfo has no MemTotal in kB"))
}

#[cfg(target_arch = "x86_64")]
fn instruction_sets() -> Vec<String> {
    let found = [
        ("avx", std::is_x86_feature_detected!("avx")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
        ("avx512vnni", std::is_x86_feature_detected!("avx512vnni")),
        ("f16c", std::is_x86_feature_detected!("f16c")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
    ];
    named(&found)
}

#[cfg(target_arch = "aarch64")]
fn instruction_sets() -> Vec<String> {
    let found = [
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
    ];
    named(&found)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn instruction_sets() -> Vec<String> {
    named(&[])
}

fn named(found: &[(&str, bool)]) -> Vec<String> {
    found
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_the_memory_line() {
        let text = "MemFree:  5 kB\nMemTotal:       16384 kB\nx";
        assert_eq!(ram_bytes(text).unwrap(), 16_384 * 1024);
        assert!(ram_bytes("MemFree: 5 kB").is_err());
        assert!(ram_bytes("MemTotal: lots kB").is_err());
    }

    #[test]
    fn this_machine_has_memory_and_a_disk() {
        let folder = tempfile::tempdir().unwrap();
        let facts = measure(folder.path()).unwrap();
        assert!(facts.ram_bytes > 1024 * 1024);
        assert_eq!(facts.architecture, std::env::consts::ARCH);
        assert!(measure(&folder.path().join("missing")).is_err());
    }
}

//! Large pages for large fleets: a tenth less time.

/// Begins anew with an allocator that asks the kernel for large pages, where that is known
/// to work; goes on as it is where not, or where the user says how to allocate.
pub(super) fn ask_for() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::os::unix::process::CommandExt;
        const KEY: &str = "GLIBC_TUNABLES";
        if std::env::var_os(KEY).is_some() {
            return;
        }
        let mut arguments = std::env::args_os();
        let Some(own_name) = arguments.next() else {
            return;
        };
        // it returns only if that failed
        let _ = std::process::Command::new("/proc/self/exe")
            .arg0(own_name)
            .args(arguments)
            .env(KEY, "glibc.malloc.hugetlb=1")
            .exec();
    }
}

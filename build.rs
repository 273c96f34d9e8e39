//! Builds bindings to FreeBSD's headers, and the C shim's objects. Only the kernel module needs them: for any
//! other build it does nothing. The source sees the release as `cfg(freebsd = "15")`.
//!
//! `kmod/build.sh` runs it, and passes in the environment:
//!
//! - `KERNEL_VERSION`: the version of FreeBSD that the headers are of
//! - `KERNEL_CFLAGS`: the flags for C; `KERNEL_SANITIZER`: more of them, for the shim alone
//! - `KERNEL_OPTIONS`: the directory with the kernel's options
//! - `KERNEL_OBJECTS`: the directory for the objects
//! - `KERNEL_CC`: the C compiler

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(freebsd, values(any()))");
    #[cfg(feature = "kernel")]
    kernel::build();
}

#[cfg(feature = "kernel")]
mod kernel {
    use std::env;
    use std::path::{Path, PathBuf};

    // The names that Rust sees of the headers, as regular expressions. Add what `src/kpi/freebsd` needs.
    // Everything that `kmod/shim.h` declares is included too.
    const FUNCTIONS: &str = "
        malloc free copyout panic cv_init cv_destroy counter_u64_fetch
        sysctl_handle_32 sysctl_handle_64 sysctl_handle_string
        epoch_call epoch_drain_callbacks epoch_wait_preempt taskqueue_.* m_freem m_copypacket m_copydata
        m_snd_tag_.* arc4random_buf
        if_.* ifc_.* ifmedia_.* ifunit_ref ether_ifattach ether_ifdetach ether_ioctl
        ether_output ether_bpf_mtap_if infiniband_.* ifpromisc link_init_sdl rt_ifmsg";
    const TYPES: &str = "
        sysctl_oid sysctl_req mtx sx cv task timeout_task epoch_context epoch_tracker ifnet bpf_if_ext pcpu mbuf sockaddr ifreq ifmedia ifmediareq
        ifType sockaddr_dl ifc_data siocsifcapnv_driver_data if_clone_addreq if_.*_fn_t iflaggparam lagg_type";
    const VARIABLES: &str = "
        net_epoch_preempt taskqueue_swi taskqueue_thread lagg_.*_p
        CSUM_SND_TAG RT_IS_INDIRECT M_[A-Z]+ IFF_.* IFCAP_.* IFM_.* LINK_STATE_.*
        CTLTYPE_.* CTLFLAG_.* CTL_AUTO_START OID_AUTO";
    /// Kernel objects that Rust only points at: the bindings leave out their fields.
    const OPAQUE: &str =
        "thread proc vnet ucred taskqueue if_clone malloc_type lock_object eventhandler_list";

    /// Flags for the shim in addition to -Wall and -Wextra; the kernel's macros need those that turn warnings off.
    const WARNINGS: &[&str] = &[
        "-Wno-unused-parameter",
        "-Wno-pointer-sign",
        "-Wno-missing-field-initializers",
        "-Wcast-qual",
        "-Wpointer-arith",
        "-Wstrict-prototypes",
        "-Wmissing-prototypes",
        "-Wundef",
        "-Werror",
    ];

    pub fn build() {
        let cflags = variable("KERNEL_CFLAGS");
        let cflags: Vec<&str> = cflags.split_whitespace().collect();
        let sanitizer = variable("KERNEL_SANITIZER");
        let sanitizer: Vec<&str> = sanitizer.split_whitespace().collect();
        for input in ["sys-headers", "kmod", &variable("KERNEL_OPTIONS")] {
            println!("cargo::rerun-if-changed={input}");
        }

        let version = variable("KERNEL_VERSION");
        println!("cargo::rustc-cfg=freebsd=\"{}\"", &version[..2]);

        let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
        bindings(&cflags, &out.join("bindings.rs"));
        compile_shim(&cflags, &sanitizer, Path::new(&variable("KERNEL_OBJECTS")));
    }

    fn variable(name: &str) -> String {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).unwrap_or_else(|_| panic!("{name} is not set: build the module with `make`"))
    }

    fn bindings(cflags: &[&str], to: &Path) {
        let mut builder = bindgen::Builder::default()
            .header("sys-headers/wrapper.h")
            .clang_args(cflags)
            .use_core()
            .rust_edition(bindgen::RustEdition::Edition2024)
            .generate_inline_functions(false)
            .layout_tests(true)
            .prepend_enum_name(false)
            // clang evaluates constants that are more than a literal, such as IFCAP_*.
            .clang_macro_fallback()
            .clang_macro_fallback_build_dir(to.parent().expect("bindings.rs is in a directory"))
            .generate_comments(false)
            .merge_extern_blocks(true)
            .allowlist_file(".*/kmod/shim\\.h")
            // Has cargo look at the headers, which an update of FreeBSD's source changes.
            .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()));
        for name in FUNCTIONS.split_whitespace() {
            builder = builder.allowlist_function(name);
        }
        for name in TYPES.split_whitespace() {
            builder = builder.allowlist_type(name);
        }
        for name in VARIABLES.split_whitespace() {
            builder = builder.allowlist_var(name);
        }
        for name in OPAQUE.split_whitespace() {
            builder = builder.opaque_type(name);
        }
        let bindings = builder.generate().expect("bindgen understands the kernel's headers");
        bindings.write_to_file(to).expect("OUT_DIR can be written");
    }

    /// Compiles one object for each file, into a directory of their own: the linker gets all of it.
    fn compile_shim(cflags: &[&str], sanitizer: &[&str], to: &Path) {
        let mut sources: Vec<PathBuf> = std::fs::read_dir("kmod")
            .expect("kmod/ is there")
            .map(|entry| entry.expect("kmod/ can be read").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "c"))
            .collect();
        sources.sort();
        let _ = std::fs::remove_dir_all(to);
        std::fs::create_dir_all(to).expect("KERNEL_OBJECTS can be made");
        cc::Build::new()
            .compiler(variable("KERNEL_CC"))
            .no_default_flags(true)
            .inherit_rustflags(false)
            .flags(cflags)
            .flags(sanitizer)
            .flags(WARNINGS)
            .define("LAGG_RS_VERSION", concat!("\"", env!("CARGO_PKG_VERSION"), "\""))
            .files(sources)
            .out_dir(to)
            .compile_intermediates();
    }
}

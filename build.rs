//! For the kernel alone: bindings to FreeBSD's headers, and the C shim's objects. `kmod/build.sh`
//! runs it and says where the headers are (`KERNEL_HEADERS`) and where the objects go
//! (`KERNEL_OBJECTS`). Every other build does nothing here.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "kernel")]
    kernel::build();
}

#[cfg(feature = "kernel")]
mod kernel {
    use std::env;
    use std::path::{Path, PathBuf};

    // What the Rust side sees of the headers, as regular expressions; add what `src/kpi/freebsd`
    // needs. All that `kmod/shim.h` declares is let through besides.
    const FUNCTIONS: &str = "
        malloc malloc_aligned free copyout panic cv_init cv_destroy counter_u64_alloc counter_u64_fetch counter_u64_free sbuf_bcat
        epoch_call epoch_drain_callbacks epoch_wait_preempt taskqueue_.* m_freem m_copym m_copydata arc4random_buf
        if_.* ifc_.* ifmedia_.* ifnet_byindex_ref ifunit_ref ether_ifattach ether_ifdetach ether_ioctl
        ether_bpf_mtap_if in6_ifdetach ifpromisc link_init_sdl";
    const TYPES: &str = "
        mtx sx cv task callout epoch_context epoch_tracker ifnet mbuf sockaddr ifreq ifmedia ifmediareq
        ifType sockaddr_dl ifc_data siocsifcapnv_driver_data if_clone_addreq if_.*_fn_t iflaggparam lagg_type";
    const VARIABLES: &str = "
        net_epoch_preempt taskqueue_swi lagg_.*_p
        M_[A-Z]+ IFF_.* IFCAP_.* IFM_.* LINK_STATE_.*";
    /// Kernel objects that are only pointed at: their insides stay out of the bindings.
    const OPAQUE: &str =
        "thread proc vnet ucred taskqueue if_clone malloc_type lock_object eventhandler_list sbuf";

    /// What the kernel's own build (`sys/conf/kern.mk`, `kmod.mk`) says to clang, as far as it
    /// changes code or layout.
    const CFLAGS: &[&str] = &[
        "-std=gnu17",
        "-O2",
        "-pipe",
        "-nostdinc",
        "-D_KERNEL",
        "-DKLD_MODULE",
        "-DHAVE_KERNEL_OPTION_HEADERS",
        "-include",
        "opt_global.h",
        "-ffreestanding",
        "-fwrapv",
        "-fno-strict-aliasing",
        "-fno-common",
        "-fstack-protector",
        "-fno-omit-frame-pointer",
        "-mno-omit-leaf-frame-pointer",
        "-fno-asynchronous-unwind-tables",
        "-fno-unwind-tables",
        "-D__printf__=__freebsd_kprintf__",
    ];
    const CFLAGS_AMD64: &[&str] = &[
        "-mcmodel=kernel",
        "-mno-red-zone",
        "-mno-mmx",
        "-mno-sse",
        "-msoft-float",
        "-mno-aes",
        "-mno-avx",
    ];
    const CFLAGS_ARM64: &[&str] = &[
        "-mgeneral-regs-only",
        "-ffixed-x18",
        "-mbranch-protection=standard",
        "-mno-outline-atomics",
        "-fPIC",
    ];
    /// For the shim's own text, besides -Wall and -Wextra, with what the kernel's macros expand to.
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
        let arch = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets the target's architecture");
        let (triple, arch_flags) = match arch.as_str() {
            "x86_64" => ("x86_64-unknown-freebsd15", CFLAGS_AMD64),
            "aarch64" => ("aarch64-unknown-freebsd15", CFLAGS_ARM64),
            other => panic!("the module is for amd64 and arm64, not for {other}"),
        };
        let headers = variable("KERNEL_HEADERS");
        let mut cflags: Vec<String> =
            CFLAGS.iter().chain(arch_flags).map(ToString::to_string).collect();
        cflags.extend(["-Isys-headers".into(), "-Isys-headers/opt".into()]);
        for directory in env::split_paths(&headers) {
            cflags.extend(["-isystem".into(), directory.display().to_string()]);
        }
        // Headers taken out of their source tree may have lost their version.
        if let Some(version) = env::var("KERNEL_VERSION").ok().filter(|v| !v.is_empty()) {
            cflags.push(format!("-D__FreeBSD_version={version}"));
        }
        for input in ["sys-headers", "kmod"] {
            println!("cargo::rerun-if-changed={input}");
        }
        println!("cargo::rerun-if-env-changed=KERNEL_VERSION");

        let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
        bindings(triple, &cflags, &out.join("bindings.rs"));
        compile_shim(triple, &cflags, Path::new(&variable("KERNEL_OBJECTS")));
    }

    fn variable(name: &str) -> String {
        println!("cargo::rerun-if-env-changed={name}");
        env::var(name).unwrap_or_else(|_| panic!("{name} is not set: build the module with `make`"))
    }

    fn bindings(triple: &str, cflags: &[String], to: &Path) {
        let mut builder = bindgen::Builder::default()
            .header("sys-headers/wrapper.h")
            .clang_arg(format!("--target={triple}"))
            .clang_args(cflags)
            .use_core()
            .rust_edition(bindgen::RustEdition::Edition2024)
            .generate_inline_functions(false)
            .layout_tests(true)
            .prepend_enum_name(false)
            // Constants that are more than a literal, as IFCAP_* are: clang works them out.
            .clang_macro_fallback()
            .clang_macro_fallback_build_dir(to.parent().expect("bindings.rs is in a directory"))
            .generate_comments(false)
            .merge_extern_blocks(true)
            .allowlist_file(".*/kmod/shim\\.h");
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

    /// One object a file, into a directory that holds nothing else: the linker is given all of it.
    fn compile_shim(triple: &str, cflags: &[String], to: &Path) {
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
            .flag(format!("--target={triple}"))
            .flags(cflags)
            .flags(WARNINGS)
            .files(sources)
            .out_dir(to)
            .compile_intermediates();
    }
}

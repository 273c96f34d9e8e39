# For BSD make and GNU make alike: nothing here that one of them does not know.

# amd64 or arm64; on FreeBSD the machine's own, elsewhere amd64 unless you say another
DEFAULT_ARCH != if [ "$$(uname -s)" = FreeBSD ]; then uname -m; else echo amd64; fi
ARCH ?= $(DEFAULT_ARCH)
FUZZ_SECONDS ?= 600
# FreeBSD: the kernel's source
SYSDIR ?= /usr/src/sys
# KERNCONFDIR, if you say one, is known to all that is run: kmod/build.sh
KMODDIR ?= /boot/modules
# as in bsd.man.mk: the section's number follows
MANDIR ?= /usr/local/share/man/man
TESTSDIR ?= /usr/local/tests/lagg-rs

TOOLS = . kmod/env.sh &&
KO = build/$(ARCH)/if_lagg_rs.ko

all: setup
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH)

help:
	@echo 'make [ARCH=arm64]  build/ARCH/if_lagg_rs.ko, the kernel module (on FreeBSD against SYSDIR=$(SYSDIR))'
	@echo '                   KERNCONFDIR=directory in which your kernel was built, if it is not GENERIC'
	@echo 'make run           build all, then see a lagg fail over'
	@echo 'make test          everything that can be tested on this machine'
	@echo 'make prove         what docs/proof.md claims, checked; make mutants: what the tests would not notice (hours)'
	@echo 'make check-ko      build and gate the modules of both architectures'
	@echo 'make bench         what a packet costs on this machine, beside the way of C lagg and the baseline'
	@echo 'make fuzz          fuzz each target for FUZZ_SECONDS=$(FUZZ_SECONDS) seconds of processor time'
	@echo 'make vm IMAGE=image  run the tests in a virtual machine with an official image of FreeBSD, or'
	@echo '        KERNEL=kernel ROOT=image  with your own; VM_SUITE="smoke lacp" some of them; tests/vm/run-vm -h says more'
	@echo 'make vm-c          the same with the if_lagg.ko of that system'
	@echo 'make vm-bench KERNEL=kernel ROOT=image  instructions a packet in such a machine, ours beside those of if_lagg.ko in ROOT'
	@echo 'make vm-peers KERNEL=kernel ROOT=image  our LACP with that of if_lagg.ko in ROOT, in two such machines'
	@echo 'make load, unload, install  on FreeBSD: kldload, kldunload, copy to $(KMODDIR), with lagg_rs(4)'
	@echo 'make install-tests on FreeBSD: copy tests/kyua to $(TESTSDIR), for kyua(1)'
	@echo 'make port          kmod/port/Makefile.crates anew from Cargo.lock'
	@echo 'make lint          rustfmt and clippy, of the host build and of the kernel build'
	@echo 'make clean         remove what was built; distclean: and what was fetched'

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

check-ko: modules
	@tests/check-ko.sh

lint: setup
	@$(TOOLS) cargo fmt --check
	@$(TOOLS) cargo clippy --locked --all-targets -- -D warnings
	@kmod/build.sh amd64 clippy

bench: setup
	@$(TOOLS) tests/bench/run

fuzz:
	@SYSDIR="$(SYSDIR)" kmod/setup.sh fuzz
	@FUZZ_SECONDS="$(FUZZ_SECONDS)" fuzz/run.sh

vm-modules: setup
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH) c lagg_traffic tests/vm/traffic/*.c
	@SYSDIR="$(SYSDIR)" kmod/build.sh $(ARCH) c lagg_infiniband tests/vm/infiniband/*.c
	@tests/vm/program.sh $(ARCH) lagg_netmap tests/vm/netmap/forward.c
	@tests/vm/program.sh $(ARCH) lagg_control tests/vm/control/requests.c

# What is said to make here these take from the environment.
vm: all vm-modules
	@ARCH="$(ARCH)" tests/vm/run-vm

vm-c: vm-modules
	@ARCH="$(ARCH)" VM_ENV="$$VM_ENV LAGG_KO=/boot/kernel/if_lagg.ko" tests/vm/run-vm

# A kernel with debugging options measures those.
vm-bench: all vm-modules
	@VM_ICOUNT=1 VM_SMP=1 KERNEL="$(KERNEL)" ROOT="$(ROOT)" SCRIPT=tests/vm/bench.sh tests/vm/run-vm

vm-peers: all
	@tests/vm/peers

on-freebsd:
	@[ "$$(uname -s)" = FreeBSD ] || { echo "only FreeBSD can load the module; make vm has one" >&2; exit 1; }

load: on-freebsd all
	kldload $(KO)

unload: on-freebsd
	kldunload if_lagg_rs

install: on-freebsd all
	install -o root -g wheel -m 555 $(KO) $(DESTDIR)$(KMODDIR)/
	kldxref $(DESTDIR)$(KMODDIR)
	mkdir -p $(DESTDIR)$(MANDIR)4
	install -o root -g wheel -m 444 kmod/lagg_rs.4 $(DESTDIR)$(MANDIR)4/

install-tests: on-freebsd
	mkdir -p $(DESTDIR)$(TESTSDIR)
	install -o root -g wheel -m 555 tests/kyua/*.sh $(DESTDIR)$(TESTSDIR)/
	install -o root -g wheel -m 444 tests/kyua/Kyuafile tests/kyua/lagg.subr $(DESTDIR)$(TESTSDIR)/

port:
	kmod/port/crates.sh >kmod/port/Makefile.crates

clean:
	rm -rf target fuzz/target build/amd64 build/arm64 build/test

distclean: clean
	rm -rf build

.PHONY: all help setup userlagg modules run test prove mutants check-ko lint bench fuzz vm-modules vm vm-c vm-bench vm-peers on-freebsd load unload install install-tests port clean distclean

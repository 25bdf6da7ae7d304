# Every entry point of the project. `make help` lists them.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.SHELLFLAGS := -eu -o pipefail -c

TARGET  := x86_64-unknown-linux-gnu
OUT     := $(CURDIR)/target
BOARD   := board/qemu-q35.toml
IMAGE   := $(OUT)/image
BINARY  := $(OUT)/$(TARGET)/image/twinmail
export CARGO_TARGET_DIR := $(OUT)

# The one list of Debian packages: build, image, lab, and the mail clients of the tests.
BUILD_PACKAGES  := gcc libc6-dev make binutils ca-certificates
IMAGE_PACKAGES  := e2fsprogs systemd-boot-efi
LAB_PACKAGES    := qemu-system-x86 qemu-block-extra ovmf tgt iproute2 sqlite3
CLIENT_PACKAGES := swaks libio-socket-ssl-perl libnet-ssleay-perl curl mutt isync msmtp fetchmail getmail6 python3
# Makes the kernel answer with errors in the store's tests.
FAULT_PACKAGES  := strace
# A management controller for the tests of power fencing.
POWER_PACKAGES  := openipmi
BENCH_PACKAGES  := postfix dovecot-imapd dovecot-pop3d dovecot-lmtpd openssl
FUZZ_PACKAGES   := g++
FUZZ_TARGETS    := $(notdir $(basename $(wildcard tests/fuzz/targets/*.rs)))

.PHONY: help run test test-unit test-crash test-clients test-image test-lab test-faults test-full test-paths test-replace test-groups test-fence image binary lab-binary check bench fuzz sim prove verify clean deps deps-bench toolchain

help: ## list every entry point
	@echo 'Twinmail: two boxes, one array, one address. Entry points:'
	@echo
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | awk -F'\t' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo
	@echo '  cargo lab help      the lab: boxes, faults, LCDs, consoles, the judge'
	@echo
	@echo 'Settings:  SEEDS=n for sim, MINUTES=n for verify, BOARD=file for image, EACH=n for fuzz'

run: deps image lab-binary ## boot the pair with array and front panels, and show how to use it; Ctrl-C ends it all
	@cargo run --quiet -p lab -- up --fresh --foreground --image $(IMAGE)

test: deps test-unit test-image test-clients test-lab ## everything that must pass
	@echo
	@echo 'All tests passed.'

test-unit: toolchain ## every crate's own tests, the simulator's 10,000 seeds and the house rules
	tests/again.sh cargo test --no-fail-fast --workspace --exclude clients --exclude lab --exclude image

test-crash: toolchain ## the store killed 200 times under load: nothing lost, nothing twice, no UID again
	CRASH_ROUNDS=200 cargo test -p store --test crash

test-image: deps image ## the image is reproducible and complete
	TWINMAIL_BINARY=$(BINARY) cargo test -p image

test-clients: deps binary ## real mail clients against the real service
	TWINMAIL_BINARY=$(BINARY) tests/again.sh cargo test -p clients

test-lab: deps image lab-binary ## two boxes under QEMU: boot, serve, fail, take over
	TWINMAIL_IMAGE=$(IMAGE) tests/again.sh cargo test --no-fail-fast -p lab --lib --bins --test stories -- --test-threads=1 --nocapture

test-faults: deps image lab-binary ## every fault alone and together, each with its outage: 40 minutes
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test faults -- --test-threads=1 --nocapture

test-full: deps image lab-binary ## the group's disk fills up under the pair and is emptied again: 2 minutes
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test full -- --test-threads=1 --nocapture

test-paths: deps image lab-binary ## two cables between each box and the array, one dead or both
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test paths -- --test-threads=1 --nocapture

test-replace: deps image lab-binary ## each box of a pair replaced by a blank one, the old one kept out: 6 minutes
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test replace -- --test-threads=1 --nocapture

test-groups: deps image lab-binary ## two service groups: each box serves one, either carries both
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test groups -- --test-threads=1 --nocapture

test-fence: deps image lab-binary ## power fencing: a frozen box is reset by its management controller, or not
	TWINMAIL_IMAGE=$(IMAGE) cargo test -p lab --test fence -- --test-threads=1 --nocapture

image: deps binary ## build the box image and print what is in it
	@cargo run --quiet -p image -- build --board $(BOARD) --binary $(BINARY) --out $(IMAGE)

binary: toolchain
	@echo 'Building the firmware (static, thin LTO)'
	@cargo build --profile image -p twinmail

lab-binary: toolchain
	@echo 'Building the lab'
	@cargo build -p lab

check: toolchain ## format, lints and house rules
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo test --quiet -p tidy

bench: deps deps-bench binary ## load and timing beside Postfix and Dovecot; PROFILE=users: a busy hour, growth: size
	cargo run --quiet --profile image -p bench -- --binary $(BINARY) --profile $(or $(PROFILE),works) $(BENCH)

fuzz: toolchain ## fuzz every parser: EACH=30 seconds a target, FUZZ_TARGETS="mime ..." for some
	@$(call install,$(BUILD_PACKAGES) $(FUZZ_PACKAGES))
	@rustup toolchain list | grep -q nightly || rustup toolchain install nightly --profile minimal
	@cargo fuzz --version >/dev/null 2>&1 || cargo install cargo-fuzz --locked
	@for target in $(FUZZ_TARGETS); do \
	  echo "Fuzzing $$target for $(or $(EACH),30) s"; \
	  cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir $(OUT)/fuzz $$target -- \
	    -max_total_time=$(or $(EACH),30) -max_len=8192 -timeout=10 -rss_limit_mb=2048 -verbosity=0; \
	done

sim: toolchain ## many runs of the pair simulator, and a table of what happened: SEEDS=100000
	cargo run --quiet -p sim -- --seeds $(or $(SEEDS),100000)

prove: toolchain ## every state of two decision cores and an array, to the large bound
	cargo run --quiet -p proof

verify: deps image lab-binary ## faults under load, and the count of what was lost: MINUTES=10
	cargo run --quiet -p lab -- verify --image $(IMAGE) --minutes $(or $(MINUTES),10)

clean: ## remove everything that was built, and the lab's state
	-@[ ! -d .lab ] || cargo run --quiet -p lab -- down
	rm -rf .lab
	cargo clean

# ---- what the machine needs ---------------------------------------------------------------------

toolchain:
	@command -v cargo >/dev/null || { echo 'Rust is missing. Install rustup from https://rustup.rs, then: rustup toolchain install 1.95'; exit 1; }

deps: toolchain
	@$(call install,$(BUILD_PACKAGES) $(IMAGE_PACKAGES) $(LAB_PACKAGES) $(CLIENT_PACKAGES) $(FAULT_PACKAGES) $(POWER_PACKAGES))

deps-bench:
	@$(call install,$(BENCH_PACKAGES))

# Installs the Debian packages that are missing, and says which.
define install
missing=; for p in $(1); do \
  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$p"; done; \
if [ -n "$$missing" ]; then \
  echo "Installing Debian packages:$$missing"; \
  sudo=; if [ "$$(id -u)" != 0 ]; then \
    command -v sudo >/dev/null || { echo "Run as root once: apt-get install$$missing"; exit 1; }; sudo=sudo; fi; \
  $$sudo apt-get -qq update; \
  $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install $$missing >/dev/null; \
fi
endef

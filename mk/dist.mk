# How pystuck is handed out: the static client, wheels, completions, packages; and what tests that. Included by the Makefile.
# What lives here: targets. What does not: steps of more than a few lines (tools/) and what is tested (tests/dist).

# ---- a client without shared libraries ----------------------------------------------------------

# With musl, which needs nothing of the machine at run time, where musl-gcc and the libraries for it are (make musl-libraries);
# else with the C library of $(CC). libedit, not readline: the file may be copied anywhere without the GPL. Of the C library the file has
# a megabyte and a half: ours is made as small as it can be, to stay below two.
MUSL_ROOT ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pystuck/musl
STATIC_CC ?= $(if $(and $(wildcard $(MUSL_ROOT)/lib/libedit.a),$(shell command -v musl-gcc)),musl-gcc,$(CC))
# What a build with musl-gcc is told. Its specs know no static PIE.
MUSL = CC=musl-gcc PAM=no EDITLINE=libedit LIBRARIES=linked \
	CFLAGS='-isystem $(MUSL_ROOT)/include -isystem $(MUSL_ROOT)/include/ncurses' LDFLAGS='-L$(MUSL_ROOT)/lib' \
	PKG_CONFIG='env PKG_CONFIG_LIBDIR=$(MUSL_ROOT)/lib/pkgconfig $(PKG_CONFIG) --static' CLIENT_LINK='-static -s -Wl,--gc-sections'
# Addresses within the file as a list of bits: before 2.36 glibc did not know how to read it.
NUMBER_SIGN := \#
RELR = $(shell printf '%s\n' '$(NUMBER_SIGN)include <features.h>' '$(NUMBER_SIGN)if !__GLIBC_PREREQ(2, 36)' '$(NUMBER_SIGN)error' '$(NUMBER_SIGN)endif' 'int main(void) { return 0; }' | \
	$(STATIC_CC) -static-pie -Wl,-z,pack-relative-relocs -x c - -o /dev/null 2>/dev/null && echo -Wl,-z,pack-relative-relocs)
STATIC = CC='$(STATIC_CC)' EDITLINE=libedit LIBRARIES=linked OPT='$(or $(call accepted,-Oz),-Os)' FAST= CFLAGS='-fno-asynchronous-unwind-tables -fno-unwind-tables $(call accepted,-flto)' EDIT_LIBS='-ledit -ltinfo -lbsd -lmd' PKG_CONFIG='$(PKG_CONFIG) --static' \
	CLIENT_LINK='-static-pie -s -Wl,--gc-sections -Wl,-z,noseparate-code $(RELR)'
static:				## build/pystuck-static: the client in one file that needs nothing, for containers
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/static $(if $(filter %musl-gcc,$(STATIC_CC)),$(MUSL),$(STATIC)) $(BUILD)/static/pystuck
	$(Q)cp $(BUILD)/static/pystuck $(BUILD)/pystuck-static
musl-libraries:			## what make static needs to build with musl-gcc, from Debian's sources, into MUSL_ROOT
	@tools/musl-libraries '$(MUSL_ROOT)'
# Not static, as the client is: the tests that have calls fail would get at those within the C library, too.
check-musl:			## the C tests with musl
	@tools/musl-libraries --tests '$(MUSL_ROOT)'
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/musl RESULTS=$(RESULTS) STAGE=musl- $(MUSL) unit

check-aarch64:			## the C tests and end-to-end tests on an emulated aarch64 machine, with Debian's kernel and Python
	@BUILD=$(BUILD) RESULTS=$(RESULTS) tools/check-aarch64

# ---- wheels -------------------------------------------------------------------------------------

wheels:				## build/wheels: an sdist, and wheels for older machines and every interpreter found
	@tools/wheels '$(BUILD)/wheels' $(PYTHONS)

# ---- tests --------------------------------------------------------------------------------------

# Needs root for chroot. DIST=static picks by pytest's -k. What this machine cannot do is named at the end.
DIST ?=
check-dist: static modules	## what is handed out, as those who get it would use it (root)
	@status=0; for check in 'reproducible' 'install' 'debian'; do BUILD=$(BUILD) PYTHON=$(PYTHON) tools/check-$$check || \
		{ code=$$?; [ $$code = 77 ] || status=1; }; done; \
	$(MAKE) --no-print-directory check-dist-tests || status=1; exit $$status
check-dist-short: static $(BUILD)/pystuck module	## the static client and the completions alone
	@$(MAKE) --no-print-directory DIST='static or completions' PYTHONS='$(PYTHON)' check-dist-tests
check-dist-tests: static modules
	@mkdir -p $(RESULTS)
	@PYTHONDONTWRITEBYTECODE=1 PYSTUCK_BUILD=$(abspath $(BUILD)) PYSTUCK_PYTHONS="$$(echo $$(tools/pythons --abi $(PYTHONS)))" \
		timeout -k 30 3000 $$(tools/pythons --pytest) -m pytest -q -ra --junitxml $(abspath $(RESULTS))/dist.xml \
		$(if $(DIST),-k '$(DIST)') tests/dist

check-reproducible:		## two builds in different directories: the same bytes
	@PYTHON=$(PYTHON) tools/check-reproducible
check-debian:			## the Debian packages: built, lintian, installed below an overlay, their autopkgtests (root)
	@tools/check-debian

.PHONY: check-aarch64 check-musl check-reproducible check-debian check-dist-short check-dist-tests wheels static musl-libraries check-dist

# pystuck: the client, the Python extension, the tests. `make help` lists the targets.
# What the machine has is asked here; what a step does in more than a few lines lives in tools/.

PYTHON ?= python3
CC ?= cc
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
BUILD ?= build
V ?= 0
OPT ?= -Os -g
SAN ?=
FUZZ_SECONDS ?= 600
CLANG_TIDY ?= clang-tidy
CPPCHECK ?= cppcheck

# One name for one directory: what has been built as ./build is also there as $PWD/build, and the other way round.
here = $(patsubst $(CURDIR)/%,%,$(abspath $(1)))
override BUILD := $(or $(call here,$(BUILD)),$(error BUILD names no directory))
$(foreach goal,$(filter $(CURDIR)/%,$(MAKECMDGOALS)),$(eval $(goal): $(call here,$(goal))))

Q = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@echo "  $(1)";)

# ---- the compiler and the libraries -------------------------------------------------------------

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wformat=2 \
	-Werror
HARDEN := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection \
	-ftrivial-auto-var-init=zero
# How the client is linked: make static has it without shared libraries.
CLIENT_LINK ?= -pie
HARDEN_LD := -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed

# Keeps the flags of $(1) that the compiler knows: one question if it knows them all, else one each.
accepted = $(shell ok() { echo 'int main(void){return 0;}' | \
	$(CC) -Werror -O2 "$$@" -x c - -o /dev/null 2>/dev/null; }; \
	ok $(1) && echo $(1) || for flag in $(1); do ok $$flag && echo $$flag; done)
HARDEN_OK := $(call accepted,$(HARDEN))

# yes, if the compiler finds the header $(1).
header = $(shell printf '\043include <stdio.h>\n\043include <$(1)>\n' | $(CC) $(CFLAGS) -E -x c - >/dev/null 2>&1 && echo yes)

# libsodium for the cryptography, libbsd for strtonum(3) and its like: of that one the functions that are used go into the client where
# there is an archive to take them from, since loading it takes longer than what it does.
LIBS_ANSWER := $(shell $(PKG_CONFIG) --cflags --libs libsodium libbsd 2>/dev/null)
LIBS_CFLAGS := $(filter -I% -D%,$(LIBS_ANSWER))
LIBS := $(filter-out $(LIBS_CFLAGS),$(LIBS_ANSWER))
BSD_ARCHIVE := $(shell printf '\043include <bsd/stdlib.h>\nint main(void) { const char *e; return (int)strtonum("0", 0, 1, &e); }\n' | \
	$(CC) $(CFLAGS) $(LIBS_CFLAGS) $(LDFLAGS) -x c - -o /dev/null -l:libbsd.a 2>/dev/null && echo -l:libbsd.a)

# The prompt's keys and history: readline where it is, else libedit; EDITLINE= says which.
EDITLINE := $(or $(EDITLINE),$(if $(call header,readline/readline.h),readline,$(if $(call header,editline/readline.h),libedit)))
EDIT := $(if $(EDITLINE),$(shell $(PKG_CONFIG) --cflags --libs $(EDITLINE) 2>/dev/null || echo -l$(EDITLINE:libedit=edit)))
EDIT_CFLAGS := $(if $(filter libedit,$(EDITLINE)),-DPYSTUCK_LIBEDIT) $(filter -I%,$(EDIT))
EDIT_LIBS := $(filter-out -I% -D%,$(EDIT))
# What terminals can do, for --watch: what both line editors ask.
TINFO_LIBS := $(shell $(PKG_CONFIG) --libs tinfo 2>/dev/null || $(PKG_CONFIG) --libs ncursesw 2>/dev/null || echo -ltinfo)

# libsodium is loaded with the first key, by the extension and by the client, the prompt's library with the first prompt, and that
# of terminals by --watch: by the names that a program which is linked with them asks for. LIBRARIES=linked: they are linked with them instead, as they also
# are where a name cannot be told.
LIBRARIES ?= lazy
soname = $(if $(filter lazy,$(LIBRARIES)),$(shell readelf -dW "$$($(CC) $(LDFLAGS) -print-file-name=lib$(1).so)" 2>/dev/null | \
	sed -n 's/.*SONAME.*\[\(.*\)\].*/\1/p'))
SODIUM_SONAME := $(call soname,sodium)
EDIT_SONAME := $(call soname,$(EDITLINE:libedit=edit))
LIBS_CFLAGS += -DSODIUM_SONAME='"$(SODIUM_SONAME)"'
TINFO_SONAME := $(or $(call soname,tinfo),$(call soname,ncursesw))
EDIT_CFLAGS += $(if $(EDIT_SONAME),-DEDIT_SONAME='"$(EDIT_SONAME)"') $(if $(TINFO_SONAME),-DTINFO_SONAME='"$(TINFO_SONAME)"')
CLIENT_LIBS ?= $(if $(EDIT_SONAME),,$(EDIT_LIBS)) $(if $(TINFO_SONAME),,$(TINFO_LIBS)) \
	$(filter-out $(if $(BSD_ARCHIVE),-lbsd) $(if $(SODIUM_SONAME),-lsodium),$(LIBS)) $(BSD_ARCHIVE) -ldl

# The helper that asks PAM is built where libpam's header is; PAM=no leaves it out.
PAM := $(or $(PAM),$(call header,security/pam_appl.h),no)
PAM_DIR = $(PREFIX)/libexec/pystuck

# The same bytes wherever the tree lies: tools/check-reproducible.
SAME := $(call accepted,-ffile-prefix-map=$(CURDIR)=.)

# A finding of UBSan must end the program, or no test would notice it. The compiler's warnings are less exact in such a
# build (gcc says so itself), and were all errors in the plain one.
SAN_FLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer -Wno-error)
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -Iinclude $(WARN) $(OPT) $(or $(SAN_FLAGS),$(HARDEN_OK)) \
	-fPIC -fvisibility=hidden -ffunction-sections $(SAME) -pthread $(LIBS_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(SAN_FLAGS) $(HARDEN_LD) -pthread $(LDFLAGS)

# ---- Python -------------------------------------------------------------------------------------

# On one line: GNU make 4.4 does not hand a line end in an argument on to the shell.
PY_QUESTION := import sysconfig as s; p = s.get_paths(); \
	print(p["include"], s.get_config_var("EXT_SUFFIX"), p["platlib"])
PY_ANSWER := $(shell $(PYTHON) -c '$(PY_QUESTION)' 2>/dev/null)
PY_INCLUDE := $(word 1,$(PY_ANSWER))
PY_SUFFIX := $(word 2,$(PY_ANSWER))
PYTHON_SITE ?= $(word 3,$(PY_ANSWER))

# ---- what is built ------------------------------------------------------------------------------

# In place of libsodium itself, for the extension and the client.
LAZY := src/wire/sodium_lazy.c
WIRE := $(filter-out $(LAZY),$(wildcard src/wire/*.c))
AUTH := $(wildcard src/auth/*.c)
SERVER := $(wildcard src/server/*.c)
PYROOM := $(wildcard src/python/*.c)
# EVAL=no: an extension that cannot evaluate, since nothing that could is in it.
EVAL ?= yes
EVALUATING := $(patsubst %,src/python/%.c,eval eval_answer courtesy eval_worker eval_interrupt eval_where run space cell indent stream stream_buffer \
	stream_input stream_type tee modules look context signature complete bag pretty pretty_layout definition help prompt \
	prompt_frame target view frame_vars execute atomic relay on_main doing on_loop stepper loops prompt_loop frame_mark)
ifeq ($(EVAL),no)
PYLINK := $(filter-out $(EVALUATING),$(PYROOM))
PYFLAGS := -DPYSTUCK_NO_EVAL
else
PYLINK := $(PYROOM)
endif
CLIENT := $(wildcard src/client/*.c)
PAMROOM := $(if $(filter yes,$(PAM)),$(wildcard pam/*.c))
UNIT := $(wildcard tests/unit/test_*.c)
FUZZ := $(wildcard tests/fuzz/fuzz_*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
pyobj = $(patsubst src/python/%.c,$(BUILD)/obj/python$(PY_SUFFIX)/%.o,$(1))
PAM_WIRE := $(call obj,src/wire/acctmsg.c src/wire/buf.c src/wire/error.c src/wire/text.c)
LOW := $(call obj,$(WIRE) $(AUTH) $(SERVER))
# Extra words for one test's or fuzzer's link line, from the comment ` * LINK: ...` in its source.
link_line = $(shell sed -n 's/^.* LINK: //p' $(1))
# And files of other rooms that it is linked with, from ` * SOURCES: src/client/...`.
more_obj = $(call obj,$(shell sed -n 's/^.* SOURCES: //p' $(1)))

MODULE := $(BUILD)/python/pystuck/__init__$(PY_SUFFIX)
PACKAGE := $(MODULE) $(BUILD)/python/pystuck/__init__.pyi $(BUILD)/python/pystuck/__main__.py $(BUILD)/python/pystuck/py.typed
UNITS := $(wildcard systemd/*.socket systemd/*.service) \
	$(patsubst systemd/%.in,$(BUILD)/systemd/%,$(wildcard systemd/*.in))
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT))
FUZZ_BIN := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(FUZZ))

PAM_HELPER := $(PAMROOM:pam/%.c=$(BUILD)/%)
# For tests: the same with services of their own (not installed), and a module that makes trouble.
PAM_TESTS := $(if $(PAMROOM),$(BUILD)/tests/pystuck-pam $(BUILD)/tests/pam_trouble.so)

all: $(BUILD)/pystuck $(PAM_HELPER) module	## the client (build/pystuck) and the extension (build/python)
module: $(PACKAGE)		## the extension alone; PYTHON=python3.12 builds for another interpreter beside it

# Objects are made again when the compiler or its flags change: this file changes only then. The compiler by what it is, not by what
# it is called, since cc and gcc may be one; and the name of the directory, by which objects remember which headers they are made of.
COMPILER := $(shell readlink -f "$$(command -v $(firstword $(CC)))"; LC_ALL=C $(CC) -v 2>&1 | grep -m 1 ' version ') $(wordlist 2,$(words $(CC)),$(CC))
FLAGS := $(COMPILER) $(CFLAGS_ALL) / $(LDFLAGS_ALL) $(EDIT_CFLAGS) $(SODIUM_SONAME) $(PYFLAGS) / $(BUILD)
STAMP := $(BUILD)/flags
# make install takes what is built already as it is.
ifneq ($(filter-out clean help uninstall $(and $(wildcard $(STAMP)),install),$(or $(MAKECMDGOALS),all)),)
ifneq ($(file <$(STAMP)),$(FLAGS))
$(shell mkdir -p $(BUILD))
$(file >$(STAMP),$(FLAGS))
endif
ifeq ($(and $(LIBS),$(EDITLINE)),)
MISSING := libraries-missing
endif
endif
ifeq ($(wildcard $(PY_INCLUDE)/Python.h),)
PY_MISSING := python-missing
endif

libraries-missing:
	@echo 'pystuck needs $(firstword $(PKG_CONFIG)), libsodium, libbsd and readline or libedit, with their headers:' \
		'on Debian and Ubuntu pkg-config libsodium-dev libbsd-dev libreadline-dev,' \
		'on Fedora pkgconf-pkg-config libsodium-devel libbsd-devel readline-devel,' \
		'on Alpine pkgconf libsodium-dev libbsd-dev readline-dev (./bootstrap demo installs all that is missing)' >&2; exit 1
python-missing:
	@echo 'pystuck needs CPython 3.10 or later with Python.h, and $(PYTHON) has none: on Debian and Ubuntu python3-dev,' \
		'on Fedora python3-devel, on Alpine python3-dev, or say which interpreter: make PYTHON=/path/to/python3' \
		'(./bootstrap demo installs all that is missing)' >&2; exit 1

$(BUILD)/pystuck: $(call obj,$(CLIENT) $(WIRE) $(if $(SODIUM_SONAME),$(LAZY)))
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) $(CLIENT_LINK) -o $@ $^ $(CLIENT_LIBS)

$(BUILD)/pystuck-pam: $(call obj,$(PAMROOM)) $(PAM_WIRE)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -pie -o $@ $^ -lpam -lrt
$(BUILD)/tests/pystuck-pam: $(BUILD)/obj/tests/pam/pystuck-pam.o $(PAM_WIRE)
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -pie -o $@ $^ -lpam -lrt
$(BUILD)/obj/tests/pam/pystuck-pam.o: pam/pystuck-pam.c $(STAMP) | $(MISSING)
	@mkdir -p $(@D)
	$(call say,CC $< for tests)$(CC) $(CFLAGS_ALL) -DPYSTUCK_PAM_TEST -MMD -MP -c -o $@ $<
$(BUILD)/tests/pam_trouble.so: $(BUILD)/obj/tests/pam/pam_trouble.o
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -shared -o $@ $^ -lpam

# What attacks and crowds a program: make flood, crowd, soak, and the short forms among the end-to-end tests.
LOADERS := $(BUILD)/tests/flood $(BUILD)/tests/crowd
$(BUILD)/tests/flood: $(BUILD)/obj/tests/load/flood.o
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -o $@ $^
$(BUILD)/tests/crowd: $(BUILD)/obj/tests/load/crowd.o $(call obj,$(WIRE))
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

# Where the extension looks for the helper; made again when make install says another PREFIX.
ifneq ($(filter-out clean help uninstall,$(or $(MAKECMDGOALS),all)),)
ifneq ($(file <$(BUILD)/pam-dir),$(PAM_DIR))
$(shell mkdir -p $(BUILD))
$(file >$(BUILD)/pam-dir,$(PAM_DIR))
endif
endif
$(BUILD)/obj/src/auth/account.o: CFLAGS_ALL += -DPYSTUCK_PAM_HELPER='"$(PAM_DIR)/pystuck-pam"'
$(BUILD)/obj/src/auth/account.o: $(BUILD)/pam-dir

$(MODULE): $(call pyobj,$(PYLINK)) $(LOW) $(if $(SODIUM_SONAME),$(call obj,$(LAZY))) src/python/pystuck.map
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -shared -Wl,--version-script=src/python/pystuck.map -Wl,--as-needed,--gc-sections \
		-o $@ $(filter-out %/addr_port.o,$(filter %.o,$^)) $(LIBS) -ldl

$(BUILD)/python/pystuck/__init__.pyi: src/python/pystuck.pyi
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(BUILD)/python/pystuck/__main__.py: src/python/__main__.py
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(BUILD)/python/pystuck/py.typed:
	@mkdir -p $(@D)
	$(Q): > $@

$(BUILD)/obj/src/client/%.o: src/client/%.c $(STAMP) | $(MISSING)
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) $(EDIT_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/tests/unit/test_client_edit_library.o: CFLAGS_ALL += $(EDIT_CFLAGS)

# Small by default, since all of it is in other people's memory; fast where the GIL is held or a whole dump goes through.
FAST := $(call pyobj,$(addprefix src/python/,frames.c heap.c names.c lines.c pytext.c answer.c stack_encoder.c answer_tasks.c tasks.c task_list.c \
	task_objects.c task_stack.c task_waits.c task_holders.c waits.c linetable.c raw_own.c raw_pages.c raw_names.c \
	raw_frames.c raw_code.c raw_stacks.c)) $(call obj,$(addprefix src/, \
	wire/msg.c wire/buf.c wire/text.c wire/ucs.c wire/channel.c wire/noise.c client/dump.c client/print.c client/cut.c client/json.c \
	client/jsonread.c client/jsonescape.c client/saved.c client/saved_reader.c client/saved_thread.c client/saved_frames.c \
	client/saved_value.c client/intern.c client/merge.c)) $(call obj,$(UNIT))
$(if $(filter -Os,$(OPT)),$(FAST)): OPT += -O2

# CPython's header has tables in it of which two are used.
$(call pyobj,src/python/acquires.c): CFLAGS_ALL += -fdata-sections

# NDEBUG: the assertions in Python's own headers would end the program that we are a guest of.
$(BUILD)/obj/python$(PY_SUFFIX)/%.o: src/python/%.c $(STAMP) | $(MISSING) $(PY_MISSING)
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) $(PYFLAGS) -DNDEBUG -isystem $(PY_INCLUDE) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.c $(STAMP) | $(MISSING)
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Units of systemd, with the paths of this installation in them. Made each time: PREFIX may be another one.
$(BUILD)/systemd/%: systemd/%.in always
	@mkdir -p $(@D)
	$(Q)sed 's|@libexecdir@|$(PREFIX)/libexec|g' $< > $@
always: ;

# Unit tests and fuzzers: one program for each source, linked with the rooms below Python.
.SECONDEXPANSION:
$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(LOW) $$(call more_obj,tests/unit/test_$$*.c)
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call link_line,tests/unit/test_$*.c) \
		-lcmocka $(LIBS)
$(BUILD)/fuzzers/fuzz_%: $(BUILD)/obj/tests/fuzz/fuzz_%.o $(LOW) $$(call more_obj,tests/fuzz/fuzz_$$*.c)
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ \
		$(call link_line,tests/fuzz/fuzz_$*.c) $(LIBS)

# The paths whose instructions are counted (make check-instructions), and the client of make bench: of the client what they call.
$(BUILD)/bench/client.a: $(filter-out %/main.o,$(call obj,$(CLIENT)))
	@mkdir -p $(@D)
	$(Q)rm -f $@ && $(AR) rc $@ $^
$(BUILD)/bench/%: $(BUILD)/obj/bench/%.o $(LOW) $(BUILD)/bench/client.a
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(call link_line,bench/$*.c) $(LIBS)

# ---- tests --------------------------------------------------------------------------------------

# Every run leaves its counts here; STAGE keeps those of a sanitizer's run apart.
RESULTS ?= $(BUILD)/results
STAGE ?=
RUN_UNIT = tools/run-unit --results $(RESULTS)/$(STAGE)unit.counts
RUN_E2E = tools/run-e2e --build $(BUILD) --results $(RESULTS)/$(STAGE)e2e.xml
# One interpreter for each ABI is enough to build for: PYTHONS="python3.10 ..." narrows the choice.
PYTHONS ?= $(shell tools/pythons)
unit-programs: $(UNIT_BIN)
load-programs: $(LOADERS)
modules: $(BUILD)/pystuck
	@for python in $$(tools/pythons --abi $(PYTHONS)); do \
		$(MAKE) --no-print-directory PYTHON=$$python module || exit 1; done

check:				## unit, inner and end-to-end tests, and one closing line that counts them
	@rm -rf $(RESULTS)
	@broken=; for tests in unit inner e2e; do \
		$(MAKE) --no-print-directory $$tests || broken="$$broken $$tests"; done; \
	tools/count-tests $(RESULTS) $$broken
unit: $(UNIT_BIN)		## the C tests (cmocka)
	@$(RUN_UNIT) $(UNIT_BIN)
inner: modules			## the dump code inside Python, on every interpreter found
	@BUILD=$(abspath $(BUILD)) tools/run-python --results $(RESULTS)/$(STAGE)inner.counts $(PYTHONS)
e2e: modules $(PAM_TESTS) $(LOADERS)	## real programs and the real client (pytest), on every interpreter found
	@$(RUN_E2E) $(PYTHONS) $(E2E_LAST)

no-eval:			## an extension without evaluation: what is in it, and what it refuses
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/no-eval EVAL=no modules
	@tools/check-no-eval $(BUILD)/no-eval $(EVALUATING)
	@PYSTUCK_WITHOUT=eval tools/run-e2e --build $(BUILD)/no-eval --results $(RESULTS)/no-eval-e2e.xml $(PYTHONS) \
		-- -k 'test_no_eval or test_dump'

# Where readline's licence is in the way, and in the static client.
libedit: modules		## the client with libedit: its prompt
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/libedit EDITLINE=libedit $(BUILD)/libedit/pystuck
	@$(RUN_E2E:e2e.xml=libedit-e2e.xml) --client $(BUILD)/libedit/pystuck $(PYTHONS) -- -k 'test_multiline or test_complete or test_looks'

systemd:			## services of a real systemd, booted for the tests (root)
	@tools/run-systemd --build $(BUILD) --results $(RESULTS)/systemd.xml

ASAN := BUILD=$(BUILD)/asan RESULTS=$(RESULTS) STAGE=asan- CC=gcc SAN=address,undefined OPT='-O1 -g'
# use_sigaltstack: with gcc 12 a thread that ends is blamed for what the sanitizer's own farewell does on its stack.
asan: export ASAN_OPTIONS := use_sigaltstack=0:$(ASAN_OPTIONS)
asan:				## both under AddressSanitizer and UBSan
	@status=0; $(MAKE) --no-print-directory $(ASAN) unit || status=1; PYSTUCK_PATIENCE=60 \
	$(MAKE) --no-print-directory $(ASAN) e2e RUN_E2E='$(ASAN_E2E)' E2E_LAST='$(if $(ASAN_WITHOUT),-- -k "$(ASAN_WITHOUT)")' || status=1; exit $$status
ASAN_E2E := tools/run-e2e --preload libasan.so --build $(BUILD)/asan \
	--results $(RESULTS)/asan-e2e.xml
# What takes longest there, and shows by repetition what other tests have shown once. ASAN_WITHOUT= leaves nothing out.
ASAN_WITHOUT ?= not test_storm and not test_load and not test_properties and not 65536
false-alarms: modules		## 1,000 dumps of a contended program without a deadlock, on every interpreter
	@PYSTUCK_CONTENDED=1000 PYSTUCK_PATIENCE=300 $(RUN_E2E:e2e.xml=alarms.xml) $(PYTHONS) -- -k test_contention_is_no_deadlock
valgrind: $(UNIT_BIN) module	## the C tests and two of the story of the README under valgrind
	@status=0; $(RUN_UNIT:unit.counts=valgrind.counts) --timeout 600 --under '$(VALGRIND)' \
	$(filter-out $(addprefix $(BUILD)/tests/,$(VALGRIND_WITHOUT)),$(UNIT_BIN)) || status=1; \
	$(VALGRIND_E2E) -k 'test_story and (stacks or owner)' || status=1; exit $$status
# Three thousand faults take minutes under it; the sanitizers see them all. VALGRIND_WITHOUT= runs them too.
VALGRIND_WITHOUT ?= test_faults_%
valgrind-e2e: module $(BUILD)/pystuck $(PAM_TESTS) $(LOADERS)	## all end-to-end tests under valgrind: an hour
	@$(VALGRIND_E2E)
VALGRIND_E2E = PYSTUCK_PATIENCE=120 E2E_SECONDS=7200 tools/run-e2e --valgrind --build $(BUILD) \
	--results $(RESULTS)/valgrind-e2e.xml $(PYTHON) --
VALGRIND := valgrind --quiet --suppressions=tests/unit/valgrind.supp --child-silent-after-fork=yes --error-exitcode=99 --leak-check=full \
	--show-leak-kinds=definite,indirect --errors-for-leak-kinds=definite,indirect
TSAN := BUILD=$(BUILD)/tsan RESULTS=$(RESULTS) STAGE=tsan- CC=gcc SAN=thread OPT='-O1 -g'
tsan:				## the C tests of the threaded parts under ThreadSanitizer
	@$(MAKE) --no-print-directory $(TSAN) tsan-run
TSAN_BIN = $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard $(addprefix tests/unit/test_, \
	channel*.c port*.c server*.c session*.c)))
tsan-run: $(TSAN_BIN)
	@$(RUN_UNIT) --under 'setarch -R' $(TSAN_BIN)
tsan-e2e: $(LOADERS)		## a program with the extension under ThreadSanitizer: stacks, evaluations, a crowd
	@$(MAKE) --no-print-directory $(TSAN) $(BUILD)/tsan/pystuck module
	@PYSTUCK_LOAD=$(abspath $(BUILD)/tests) PYSTUCK_PATIENCE=60 tools/run-e2e --tsan --build $(BUILD)/tsan \
		--results $(RESULTS)/tsan-e2e.xml $(PYTHON) -- -k '$(TSAN_E2E)'
# Left out: what forks (the sanitizer cannot follow), what counts threads or memory (it has some of its own), and what is long.
TSAN_E2E := test_story or test_of_a_crowd or (test_eval and not test_eval_guest and not fork and not gigabyte)

# ---- attacks and load ---------------------------------------------------------------------------

RUN_LOAD = PYSTUCK_BUILD=$(BUILD) PYSTUCK_PYTHONS=$(PYTHON) $$(tools/pythons --pytest) tests/load/load.py
flood: module $(BUILD)/pystuck $(LOADERS)	## strangers, 10,000 a second, FLOOD_SECONDS (60) of each kind: who belongs is served
	@$(RUN_LOAD) flood
crowd: module $(BUILD)/pystuck $(LOADERS)	## 16 clients, 100 dumps a second each, for CROWD_SECONDS (60)
	@$(RUN_LOAD) crowd
soak: module $(BUILD)/pystuck $(LOADERS)	## SOAK_SECONDS (3600) of sessions that come and go: fds, threads, memory stay flat
	@$(RUN_LOAD) soak
bench-flood: module $(LOADERS)	## what a flood costs the program, side by side with none
	@$(RUN_LOAD:tests/load/load.py=bench/flood.py)

FUZZING := BUILD=$(BUILD)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined OPT='-O1 -g'
fuzz:				## every fuzzer, FUZZ_SECONDS (600) each
	@$(MAKE) --no-print-directory $(FUZZING) fuzz-run
fuzz-short:			## the same, 15 seconds each
	@$(MAKE) --no-print-directory $(FUZZING) FUZZ_SECONDS=15 fuzz-run
fuzz-run: $(FUZZ_BIN)
	@tools/fuzz --seconds $(FUZZ_SECONDS) --work $(BUILD) $(FUZZ_BIN)

compilers:			## everything with gcc and with clang, the client with libedit; warnings are errors
	@for cc in gcc clang; do $(MAKE) --no-print-directory BUILD=$(BUILD)/$$cc CC=$$cc \
		all unit-programs || exit 1; done
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/libedit EDITLINE=libedit $(BUILD)/libedit/pystuck
storm: modules			## 10,000 forks and 1,000 exits of each kind with clients at work, on every interpreter (hours)
	@rm -f $(BUILD)/results/storm.txt; mkdir -p $(BUILD)/results; STORM_ROUNDS=$${STORM_ROUNDS:-10000} \
	E2E_SECONDS=$${E2E_SECONDS:-86400} tools/run-e2e --build $(BUILD) --results $(BUILD)/results/storm.xml \
	$(PYTHONS) -- -k test_storm; status=$$?; cat $(BUILD)/results/storm.txt; exit $$status
storm-raw: modules		## 10,000 dumps without the GIL of a program that never holds still, on every interpreter: no stack is wrong
	@RAW_DUMPS=$${RAW_DUMPS:-10000} E2E_SECONDS=$${E2E_SECONDS:-86400} tools/run-e2e --build $(BUILD) \
	--results $(BUILD)/results/storm-raw.xml $(PYTHONS) -- -k test_of_threads_that_never_hold_still
storm-tasks: modules		## 1,000 dumps of tasks, and of greenlets (pip), that begin and end all the time, the collector always at work
	@TASK_DUMPS=$${TASK_DUMPS:-1000} E2E_SECONDS=$${E2E_SECONDS:-86400} tools/run-e2e --build $(BUILD) \
	--results $(BUILD)/results/storm-tasks.xml $(PYTHONS) -- -k test_of_tasks_that_begin_and_end_all_the_time
	@PYSTUCK_CHURN=$${TASK_DUMPS:-1000} FRAMEWORKS_SECONDS=$${FRAMEWORKS_SECONDS:-86400} tools/check-frameworks --build $(BUILD) \
	--results $(BUILD)/results/storm-greenlets.xml $(PYTHONS) -- -k come_and_go
storm-interpreters: modules	## 300 dumps of each kind while interpreters begin and end, on every interpreter
	@INTERPRETERS_DUMPS=$${INTERPRETERS_DUMPS:-300} E2E_SECONDS=$${E2E_SECONDS:-7200} PYSTUCK_PATIENCE=$${PYSTUCK_PATIENCE:-300} \
	tools/run-e2e --build $(BUILD) --results $(BUILD)/results/storm-interpreters.xml $(PYTHONS) -- -k test_interpreters_that_come_and_go
leavings: modules		## 1,000 sessions with errors, interrupts and drops leave nothing behind, on every interpreter
	@PYSTUCK_SESSIONS=$${PYSTUCK_SESSIONS:-1000} tools/run-e2e --build $(BUILD) --results $(RESULTS)/leavings.xml \
	$(PYTHONS) -- -k test_many_sessions_leave
bench: modules $(BUILD)/bench/eval_client	## side by side with the peers (README=1: kept in docs/bench, and shown in README.md)
	@bench/run $(if $(README),--readme)
check-instructions: $(BUILD)/pystuck $(BUILD)/bench/paths	## instructions of the hot paths, counted by callgrind (WRITE=1: they are as is meant)
	@CC='$(CC)' python3 bench/instructions.py $(BUILD) $(if $(WRITE),--write) || [ $$? = 77 ]
bench-merge: $(BUILD)/pystuck	## 100,000 saved dumps merged: in under 10 s and 1 GB
	@python3 bench/merge.py $(BUILD)/pystuck $(MERGE_DUMPS)
check-frameworks: module $(BUILD)/pystuck	## gunicorn, uWSGI, celery, gevent, ... (pip), on every interpreter found
	@tools/check-frameworks --build $(BUILD) --results $(RESULTS)/frameworks.xml $(PYTHONS)
show-frameworks: module $(BUILD)/pystuck	## writes what is said of frameworks that are stuck into docs/FRAMEWORKS.md
	@tools/check-frameworks --show --build $(BUILD) $(PYTHON)
check-browser: modules		## the files of pystuck --sample in headless Chromium (PYSTUCK_BROWSER says which)
	@PYSTUCK_BUILD=$(BUILD) PYSTUCK_PYTHONS=$(PYTHON) timeout 300 $$(tools/pythons --pytest) -m pytest tests/browser
agree: modules			## frames are those of py-spy (pip) and sys._current_frames(), one by one, on every interpreter found
	@tools/check-agree --build $(BUILD) --results $(RESULTS)/agree.xml $(PYTHONS)
check-versions:			## end to end on Debian sid's Pythons, in a chroot (root, Debian)
	@tools/check-versions

# ---- lint ---------------------------------------------------------------------------------------

MANS := $(wildcard man/*.[1-8])
SOURCES := $(WIRE) $(LAZY) $(AUTH) $(SERVER) $(PYROOM) $(CLIENT) $(PAMROOM)
TIDY := $(patsubst %.c,$(BUILD)/tidy/%,$(SOURCES))
lint: lint-quick $(TIDY)		## cppcheck, clang-tidy, mandoc, the rule between rooms
lint-quick: lint-cppcheck lint-rooms lint-docs	## all of it but clang-tidy, which takes minutes
# Left out: readdir is safe with a DIR of one's own; the client has one thread (check-rooms forbids such calls elsewhere);
# a comparison is a fine exit status; the look across files forgets the conditions on the way.
lint-cppcheck:
	$(call say,CPPCHECK)$(CPPCHECK) --quiet --std=c11 --enable=warning,performance,portability \
		--library=posix --library=python --inline-suppr --error-exitcode=1 -D_GNU_SOURCE \
		-DPY_VERSION_HEX=0x030d0000 -Iinclude --suppress=missingIncludeSystem \
		--suppress=readdirCalled --suppress=getpwuidCalled --suppress=invalidFunctionArgBool \
		--suppress=ctunullpointer --suppress=ctuPointerArith $(SOURCES)
lint-rooms: all
	$(call say,ROOMS)tools/check-rooms --self-test && tools/check-rooms --build $(BUILD)
lint-docs:
	$(call say,DOCS)tools/check-docs && mandoc -Tlint -Wwarning $(MANS)
# After an object, so that a changed header brings its users back here.
$(BUILD)/tidy/src/python/%: $(BUILD)/obj/python$(PY_SUFFIX)/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY src/python/$*.c)$(CLANG_TIDY) --quiet src/python/$*.c -- -std=c11 \
		-D_GNU_SOURCE -DNDEBUG -Iinclude $(LIBS_CFLAGS) -isystem $(PY_INCLUDE) 2>&1 && : > $@
$(BUILD)/tidy/%: $(BUILD)/obj/%.o .clang-tidy
	@mkdir -p $(@D)
	$(call say,TIDY $*.c)$(CLANG_TIDY) --quiet $*.c -- -std=c11 \
		-D_GNU_SOURCE -Iinclude $(LIBS_CFLAGS) $(EDIT_CFLAGS) 2>&1 && : > $@

# ---- install ------------------------------------------------------------------------------------

BIN_DIR = $(DESTDIR)$(PREFIX)/bin
LIBEXEC_DIR = $(DESTDIR)$(PAM_DIR)
SYSCONFDIR ?= /etc
PAMD_DIR = $(DESTDIR)$(SYSCONFDIR)/pam.d
MAN_DIR = $(DESTDIR)$(PREFIX)/share/man
DOC_DIR = $(DESTDIR)$(PREFIX)/share/doc/pystuck
SHARE_DIR = $(DESTDIR)$(PREFIX)/share/pystuck
SITE_DIR = $(DESTDIR)$(PYTHON_SITE)/pystuck
# Where systemd looks, also below /usr/local.
SYSTEMDUNITDIR ?= $(PREFIX)/lib/systemd/system
SYSUSERSDIR ?= $(PREFIX)/lib/sysusers.d
TMPFILESDIR ?= $(PREFIX)/lib/tmpfiles.d
BASH_DIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSH_DIR = $(DESTDIR)$(PREFIX)/share/zsh/site-functions
FISH_DIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
COMPLETION_DIRS = $(BASH_DIR) $(ZSH_DIR) $(FISH_DIR)
UNIT_DIR = $(DESTDIR)$(SYSTEMDUNITDIR)
DOCS := LICENSE README.md SECURITY.md CHANGELOG.md $(wildcard docs/*.*)

install: all $(UNITS)		## PREFIX (/usr/local), DESTDIR, PYTHON_SITE, SYSTEMDUNITDIR, SYSCONFDIR (/etc)
	umask 022 && install -d $(BIN_DIR) $(SITE_DIR) $(DOC_DIR)
	install -m 755 $(BUILD)/pystuck $(BIN_DIR)/pystuck
	install -m 644 $(PACKAGE) $(SITE_DIR)
	install -m 644 src/python/pystuck.pth $(SITE_DIR).pth
	install -m 644 $(DOCS) $(DOC_DIR)
	umask 022 && install -d $(UNIT_DIR) $(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(TMPFILESDIR) $(SHARE_DIR)
	install -m 644 $(UNITS) $(UNIT_DIR)
	install -m 644 systemd/pystuck.sysusers $(DESTDIR)$(SYSUSERSDIR)/pystuck.conf
	install -m 644 systemd/pystuck.tmpfiles $(DESTDIR)$(TMPFILESDIR)/pystuck.conf
	install -m 644 systemd/pystuck.conf $(SHARE_DIR)
	$(if $(PAM_HELPER),umask 022 && install -d $(LIBEXEC_DIR) $(PAMD_DIR) && \
		install -m 755 $(PAM_HELPER) $(LIBEXEC_DIR) && \
		{ [ -e $(PAMD_DIR)/pystuck ] || install -m 644 pam/pystuck $(PAMD_DIR)/pystuck; })
	umask 022 && install -d $(COMPLETION_DIRS) && install -m 644 completions/pystuck.bash $(BASH_DIR)/pystuck && \
		install -m 644 completions/_pystuck $(ZSH_DIR) && install -m 644 completions/pystuck.fish $(FISH_DIR)
	umask 022 && for page in $(MANS); do install -d $(MAN_DIR)/man$${page##*.} && \
		install -m 644 $$page $(MAN_DIR)/man$${page##*.}/ || exit 1; done
uninstall:			## takes away what install put there, with the same variables
	rm -f $(BIN_DIR)/pystuck $(SITE_DIR).pth $(addprefix $(SITE_DIR)/,$(notdir $(PACKAGE)))
	rm -f $(addprefix $(DOC_DIR)/,$(notdir $(DOCS)))
	for page in $(MANS); do rm -f $(MAN_DIR)/man$${page##*.}/$${page##*/}; done
	rm -f $(addprefix $(UNIT_DIR)/,$(notdir $(UNITS))) $(SHARE_DIR)/pystuck.conf
	rm -f $(DESTDIR)$(SYSUSERSDIR)/pystuck.conf $(DESTDIR)$(TMPFILESDIR)/pystuck.conf
	rm -f $(LIBEXEC_DIR)/pystuck-pam $(BASH_DIR)/pystuck $(ZSH_DIR)/_pystuck $(FISH_DIR)/pystuck.fish
	if cmp -s pam/pystuck $(PAMD_DIR)/pystuck; then rm -f $(PAMD_DIR)/pystuck; fi # not a changed one
	-rmdir $(LIBEXEC_DIR) $(SITE_DIR) $(DOC_DIR) $(SHARE_DIR) 2>/dev/null

clean:				## removes the build directory
	rm -rf $(BUILD)
help:				## this list
	@sed -n 's/^\([a-z][a-z0-9-]*\):.*##  *\(.*\)/  \1\t\2/p' Makefile mk/dist.mk | expand -t 20
	@echo
	@echo 'Variables: PYTHON CC CFLAGS LDFLAGS OPT SAN BUILD PREFIX DESTDIR PYTHON_SITE'
	@echo '           SYSTEMDUNITDIR SYSUSERSDIR TMPFILESDIR (below PREFIX/lib)'
	@echo '           EDITLINE=libedit (readline without the GPL) PAM=no SYSCONFDIR FUZZ_SECONDS FLOOD_SECONDS V=1'

include mk/dist.mk

-include $(patsubst %.o,%.d,$(call obj,$(SOURCES) $(UNIT) $(FUZZ) tests/unit/faults.c $(wildcard bench/*.c tests/load/*.c)) \
	$(call pyobj,$(PYROOM)))
.PHONY: agree libedit false-alarms lint-quick load-programs flood crowd soak bench-flood tsan-e2e no-eval all module modules unit-programs check unit inner e2e \
	systemd check-frameworks show-frameworks check-browser asan valgrind tsan tsan-run valgrind-e2e fuzz fuzz-short \
	fuzz-run compilers storm storm-raw storm-tasks storm-interpreters leavings bench check-instructions bench-merge check-versions lint lint-cppcheck lint-rooms lint-docs install \
	uninstall clean help always libraries-missing python-missing
# Kept between runs; and a target whose recipe failed is not.
.SECONDARY: $(call obj,$(wildcard bench/*.c) $(UNIT) $(FUZZ) tests/unit/faults.c)
.DELETE_ON_ERROR:

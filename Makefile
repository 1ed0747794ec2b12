# pystuck: the client, the Python extension, the tests. `make help` lists the targets.

PYTHON ?= python3
CC ?= cc
PKG_CONFIG ?= pkg-config
PREFIX ?= /usr/local
BUILD ?= build
V ?= 0

Q = $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@echo "  $(1)";)

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wformat=2 -Werror
HARDEN := -D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection -ftrivial-auto-var-init=zero
HARDEN_LD := -Wl,-z,relro,-z,now,-z,noexecstack
OPT ?= -O2 -g
SAN ?=

# Keeps the flags of $(1) that the compiler knows.
accepted = $(foreach f,$(1),$(shell echo 'int main(void){return 0;}' | $(CC) -Werror -O2 $(f) -x c - -o /dev/null 2>/dev/null && echo $(f)))
HARDEN_OK := $(call accepted,$(HARDEN))

SODIUM_CFLAGS := $(shell $(PKG_CONFIG) --cflags libsodium 2>/dev/null)
SODIUM_LIBS := $(shell $(PKG_CONFIG) --libs libsodium 2>/dev/null || echo -lsodium)
BSD_CFLAGS := $(shell $(PKG_CONFIG) --cflags libbsd 2>/dev/null)
BSD_LIBS := $(shell $(PKG_CONFIG) --libs libbsd 2>/dev/null || echo -lbsd)

ifeq ($(EDITLINE),libedit)
EDIT_CFLAGS := -DPYSTUCK_LIBEDIT $(shell $(PKG_CONFIG) --cflags libedit 2>/dev/null)
EDIT_LIBS := $(shell $(PKG_CONFIG) --libs libedit 2>/dev/null || echo -ledit)
else
EDIT_CFLAGS :=
EDIT_LIBS := -lreadline
endif

CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -Iinclude $(WARN) $(OPT) $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer,$(HARDEN_OK)) \
	-fPIC -fvisibility=hidden -pthread $(SODIUM_CFLAGS) $(BSD_CFLAGS) $(CFLAGS)
LDFLAGS_ALL = $(if $(SAN),-fsanitize=$(SAN)) $(HARDEN_LD) -pthread $(LDFLAGS)

PY_INCLUDE := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["include"])' 2>/dev/null)
PY_SUFFIX := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))' 2>/dev/null)

WIRE := $(wildcard src/wire/*.c)
AUTH := $(wildcard src/auth/*.c)
SERVER := $(wildcard src/server/*.c)
PYROOM := $(wildcard src/python/*.c)
CLIENT := $(wildcard src/client/*.c)

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
pyobj = $(patsubst src/python/%.c,$(BUILD)/obj/python$(PY_SUFFIX)/%.o,$(1))

MODULE := $(BUILD)/python/pystuck/__init__$(PY_SUFFIX)
PACKAGE := $(MODULE) $(BUILD)/python/pystuck/__init__.pyi $(BUILD)/python/pystuck/py.typed

all: $(BUILD)/pystuck module
module: $(PACKAGE)

$(BUILD)/pystuck: $(call obj,$(CLIENT) $(WIRE))
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -pie -o $@ $^ $(EDIT_LIBS) $(SODIUM_LIBS) $(BSD_LIBS)

$(MODULE): $(call pyobj,$(PYROOM)) $(call obj,$(WIRE) $(AUTH) $(SERVER)) src/python/pystuck.map
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -shared -Wl,--version-script=src/python/pystuck.map -o $@ $(filter %.o,$^) $(SODIUM_LIBS) $(BSD_LIBS)

$(BUILD)/python/pystuck/__init__.pyi: src/python/pystuck.pyi
	@mkdir -p $(@D)
	$(Q)cp $< $@
$(BUILD)/python/pystuck/py.typed:
	@mkdir -p $(@D)
	$(Q): > $@

$(BUILD)/obj/src/client/%.o: src/client/%.c
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) $(EDIT_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/python$(PY_SUFFIX)/%.o: src/python/%.c
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) -isystem $(PY_INCLUDE) -MMD -MP -c -o $@ $<

$(BUILD)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC $<)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Unit tests: one program for each tests/unit/test_<file>.c, linked with the rooms below Python.
UNIT := $(wildcard tests/unit/test_*.c)
UNIT_BIN := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(UNIT))
$(BUILD)/tests/test_%: $(BUILD)/obj/tests/unit/test_%.o $(call obj,$(WIRE) $(AUTH) $(SERVER))
	@mkdir -p $(@D)
	$(call say,LD $@)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell sed -n 's/^.* LINK: //p' tests/unit/test_$*.c) -lcmocka $(SODIUM_LIBS) $(BSD_LIBS)

unit: $(UNIT_BIN)
	@set -e; for t in $(UNIT_BIN); do timeout 120 $$t; done

clean:
	rm -rf $(BUILD)

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
.PHONY: all module unit clean
.SECONDARY:

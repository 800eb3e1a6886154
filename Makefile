# SPDX-License-Identifier: MIT
# One file, no recursion into directories. A variant (sanitizer, compiler) is
# another build directory. `make help` lists the targets.

VERSION := $(shell sed -n 's/.*GOV_VERSION "\(.*\)".*/\1/p' governor/version.h)
SONAME  := libgovernor.so.0

prefix      = /usr/local
bindir      = $(prefix)/bin
libdir      = $(prefix)/lib
includedir  = $(prefix)/include
datadir     = $(prefix)/share
mandir      = $(datadir)/man
enginedir   = $(libdir)/governor
DESTDIR     =

# SAN=asan or SAN=tsan builds that variant; WERROR=1 makes warnings errors.
SAN     ?=
WERROR  ?= $(if $(CI),1)
B       ?= build/$(or $(SAN),plain)
ENGINE  := build/engine
V       ?=
Q       := $(if $(V),,@)

CC      ?= cc
# clang++ goes with clang: sanitizers of two compilers do not mix.
ifeq ($(origin CXX),default)
CXX     := $(if $(findstring clang,$(CC)),clang++,c++)
endif
CFLAGS  ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
PKG_CONFIG ?= pkg-config

SYSTEM  := $(shell uname -s)
PLATFORM_Linux := $(sort $(wildcard governor/platform/platform_linux.c governor/platform/linux_*.c governor/platform/gpu_*.c))
PLATFORM_Darwin := $(sort $(wildcard governor/platform/platform_darwin.c governor/platform/darwin_*.c))
PLATFORM := $(or $(PLATFORM_$(SYSTEM)),governor/platform/platform_generic.c)
ifdef GENERIC
PLATFORM := governor/platform/platform_generic.c
endif

GOV_CPPFLAGS := -I. -D_POSIX_C_SOURCE=200809L -D_XOPEN_SOURCE=700 -D_FILE_OFFSET_BITS=64
GOV_CFLAGS   := -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -fvisibility=hidden -fPIC -pthread
GOV_LDFLAGS  := -pthread
ifeq ($(SYSTEM),Darwin)
# POSIX's names for the times of the last changes are not known there.
GOV_CPPFLAGS += -D_DARWIN_C_SOURCE -Dst_mtim=st_mtimespec -Dst_ctim=st_ctimespec
endif
ifeq ($(WERROR),1)
GOV_CFLAGS += -Werror
endif
ifeq ($(SAN),asan)
GOV_CFLAGS  += -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
GOV_LDFLAGS += -fsanitize=address,undefined
endif
ifeq ($(SAN),fuzz)
GOV_CFLAGS  += -O1 -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
endif
ifeq ($(SAN),tsan)
GOV_CFLAGS  += -fsanitize=thread -fno-omit-frame-pointer
GOV_LDFLAGS += -fsanitize=thread
endif

pkg = $(shell $(PKG_CONFIG) $(1) $(2) 2>/dev/null)
LIB_PKGS  := yaml-0.1 jansson sqlite3
# Of xxhash the header is all: it is compiled in.
LIB_CFLAGS := $(call pkg,--cflags,$(LIB_PKGS) libxxhash)
LIB_LIBS  := $(call pkg,--libs,$(LIB_PKGS)) $(if $(filter Linux,$(SYSTEM)),-ldl)
# Only of the adapter that talks to a server.
SERVER_CFLAGS := $(call pkg,--cflags,libcurl jansson)
SERVER_LIBS := $(call pkg,--libs,libcurl jansson)
# jemalloc only in tools, never in the library, and not under a sanitizer:
# AddressSanitizer crashes on mallocx().
TOOL_LIBS := $(if $(SAN),,$(call pkg,--libs,jemalloc))
# Its feature-test macro is older than ours.
NCURSES_CFLAGS := $(filter-out -D_XOPEN_SOURCE=%,$(call pkg,--cflags,ncursesw))
NCURSES_LIBS   := $(call pkg,--libs,ncursesw)
CHECK_CFLAGS   := $(call pkg,--cflags,check)
CHECK_LIBS     := $(call pkg,--libs,check)
VTERM_CFLAGS   := $(call pkg,--cflags,vterm)
VTERM_LIBS     := $(call pkg,--libs,vterm)
# Headers only: the loader is opened at run time.
VULKAN_CFLAGS  := $(call pkg,--cflags,vulkan)
# Tests make calls fail by wrapping them at link time (tests/support/faults.c).
WRAPPED := open openat close read pread write pwrite fstat lstat ftruncate fsync fdatasync rename unlink mkdir mmap munmap madvise pipe pthread_create posix_fallocate mprotect msync mremap fcntl ioctl poll ppoll eventfd syscall setpriority getrusage sigaction socket bind connect send sendto sendmsg recvmsg mlock pthread_attr_setstacksize epoll_create1 epoll_ctl timerfd_create timerfd_settime prctl renameat unlinkat fstatat fstatvfs flock chmod fchmod lseek fdopendir readdir realpath
WRAP    := $(foreach call,$(WRAPPED),-Wl,--wrap=$(call))
# With _FILE_OFFSET_BITS=64 glibc's headers rename these calls.
WRAPPED64 := open openat pread pwrite fstat lstat ftruncate mmap posix_fallocate fcntl fstatat fstatvfs lseek readdir
WRAP    += $(foreach call,$(WRAPPED64),-Wl,--wrap=$(call)64 -Wl,--defsym=__wrap_$(call)64=__wrap_$(call))

LIB_SRC   := $(sort $(wildcard policies/*.c policies/*/*.c) $(wildcard governor/*/*.c))
LIB_SRC   := $(filter-out $(wildcard governor/platform/platform_*.c governor/platform/linux_*.c governor/platform/darwin_*.c governor/platform/gpu_*.c),$(LIB_SRC)) $(PLATFORM)
CLI_SRC   := $(sort $(wildcard tools/cli/*.c))
GOV_SRC   := $(sort $(wildcard tools/gov/*.c))
GOVTOP_SRC := $(sort $(wildcard tools/govtop/*.c))
LLAMA_SRC := $(filter-out %/llama_ask.c,$(sort $(wildcard adapters/llama/*.c)))
SERVER_SRC := $(sort $(wildcard adapters/llama_server/*.c))
MODEL_SRC := $(sort $(wildcard tests/models/mkmodel*.c))
UNIT_SRC  := $(sort $(wildcard tests/unit/test_*.c))
ENGINE_TEST_SRC := $(filter-out $(if $(filter Linux,$(SYSTEM)),,%/test_llama_interpose.c %/test_llama_copy.c),$(sort $(wildcard tests/engine/test_*.c)))
FUZZ_SRC  := $(sort $(wildcard tests/fuzz/fuzz_*.c))
SUPPORT_SRC := $(sort $(wildcard tests/support/*.c))
PUBLIC_H  := $(sort $(wildcard governor/*.h)) policies/alloc.h policies/capacity.h policies/cases.h policies/facts.h policies/ladder.h policies/level.h policies/plan.h policies/policy_text.h policies/replay.h policies/status.h policies/what_if.h

LIB_OBJ   := $(patsubst %.c,$(B)/%.o,$(LIB_SRC)) $(B)/shipped.o
CLI_OBJ   := $(patsubst %.c,$(B)/%.o,$(CLI_SRC))
GOV_OBJ   := $(patsubst %.c,$(B)/%.o,$(GOV_SRC)) $(B)/report_page.o
GOVTOP_OBJ := $(patsubst %.c,$(B)/%.o,$(GOVTOP_SRC))
LLAMA_OBJ := $(patsubst %.c,$(B)/%.o,$(LLAMA_SRC))
SERVER_OBJ := $(patsubst %.c,$(B)/%.o,$(SERVER_SRC))
MODEL_OBJ := $(patsubst %.c,$(B)/%.o,$(MODEL_SRC))
SUPPORT_OBJ := $(patsubst %.c,$(B)/%.o,$(SUPPORT_SRC))
UNIT_BIN  := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_SRC))
ENGINE_TEST_BIN := $(patsubst tests/engine/%.c,$(B)/tests/%,$(ENGINE_TEST_SRC))
REPLAY_BIN := $(patsubst tests/fuzz/fuzz_%.c,$(B)/fuzz/replay_%,$(FUZZ_SRC))

LIB     := $(B)/lib/libgovernor.so
LIBA    := $(B)/lib/libgovernor.a
GOV     := $(B)/bin/gov
GOVTOP  := $(B)/bin/govtop
MKMODEL := $(B)/tests/mkmodel
MEMLIMIT := $(B)/tests/memlimit
STOCK   := $(B)/tests/stock
READRATE := $(B)/tests/readrate
CUT     := $(B)/tests/budget_cut
HEAPLOAD := $(B)/tests/heapload
TALK_TIME := $(B)/tests/talk_time
TELEMETRY_MAKE := $(B)/tests/telemetry_make
TELEMETRY_TIME := $(B)/tests/telemetry_time
SPILLER := $(B)/tests/spiller
CROWD   := $(if $(filter Linux,$(SYSTEM)),$(B)/tests/crowd)
GOVTOP_FIXED := $(B)/tests/govtop_fixed
PRESS   := $(B)/tests/press
PRESSURE_TIME := $(B)/tests/pressure_time
# More that tests/pressure runs: governed processes, each for one question.
PRESSURE_TOOLS := $(B)/tests/fill_time $(B)/tests/hostile $(B)/tests/yield
DENY    := $(if $(filter Linux,$(SYSTEM)),$(B)/tests/deny)
HEADER_TIME := $(B)/tests/header_time
HEADER_MAKE := $(B)/tests/header_make
POLICY_TIME := $(B)/tests/policy_time
PIN_TIME := $(B)/tests/pin_time
PUBLISH_TIME := $(B)/tests/publish_time
PLAINHOST := $(B)/tests/plainhost
# A host with another malloc: where jemalloc is, and no sanitizer.
JEHOST  := $(if $(TOOL_LIBS),$(B)/tests/jehost)
# Models of published shapes, and what they need: where there is a dry run.
SHAPE   := $(B)/tests/shape
NEED    := $(B)/tests/need
ADAPTER := $(B)/lib/governor/libgovernor-llama.so
SERVER_ADAPTER := $(B)/lib/governor/libgovernor-llama-server.so
# mmap() without MAP_POPULATE, KV caches without memory: adapters/llama_interpose. Darwin's
# reads nothing, so there is nothing to do there.
INTERPOSE := $(if $(filter Linux,$(SYSTEM)),$(B)/lib/libgovernor-llama-interpose.so)
INTERPOSEA := $(INTERPOSE:.so=.a)
INTERPOSE_SONAME := libgovernor-llama-interpose.so.0
INTERPOSE_WRAP := -Wl,--wrap=mmap -Wl,--wrap=mmap64 -Wl,--wrap=munmap -Wl,--wrap=posix_madvise -Wl,--wrap=ggml_backend_buffer_clear

-include $(ENGINE)/engine.mk
# The dry run needs what only the engine's sources tell.
DRY_RUN := $(if $(ENGINE_SRCDIR),$(wildcard $(ENGINE_SRCDIR)/src/llama-ext.h))
ifneq ($(DRY_RUN),)
LLAMA_SRC += adapters/llama/llama_ask.c
LLAMA_OBJ += $(B)/adapters/llama/llama_ask.o $(B)/adapters/llama/llama_dry_run.o
DRY_RUN_FLAGS = -DGOV_LLAMA_VERSION=$(ENGINE_VERSION)
ENGINE_CXXFLAGS = $(ENGINE_CFLAGS) -isystem $(ENGINE_SRCDIR) -isystem $(ENGINE_SRCDIR)/src
endif
# The adapter is built where an engine is; everything else works without one.
HAVE_ENGINE := $(wildcard $(ENGINE)/engine.mk)
# And the one that talks to a server where libcurl is, too.
HAVE_SERVER := $(if $(HAVE_ENGINE),$(SERVER_LIBS))
SERVER_FLAGS = -DGOV_LLAMA_SERVER_DIRS='"$(enginedir):$(ENGINE_BINDIR)"' -DGOV_LLAMA_SERVER_VERSION='"$(ENGINE_VERSION)"'

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

all: $(LIB) $(LIBA) $(INTERPOSE) $(INTERPOSEA) $(GOV) $(GOVTOP) $(if $(HAVE_ENGINE),$(ADAPTER)) $(if $(HAVE_SERVER),$(SERVER_ADAPTER)) ## build the library, the tools and, where there is an engine, its adapters

## ---- set-up ------------------------------------------------------------------

deps: ## install what building, testing and the engine need; nothing if it is there
	$(Q)scripts/deps.sh build engine check

engine: ## get and build llama.cpp once, into a cache outside this tree
	$(Q)scripts/deps.sh build engine
	$(Q)scripts/engine.sh $(ENGINE)

demo: ## the governor's whole job around a real engine, in about two minutes
	$(Q)scripts/deps.sh build engine
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory demo-run

demo-run: all $(MKMODEL) $(MEMLIMIT) $(STOCK)
	$(Q)B=$(B) scripts/demo.sh

## ---- compile -----------------------------------------------------------------

# Objects depend on this file, so a changed flag rebuilds and nothing else does.
$(B)/.flags: FORCE
	$(Q)mkdir -p $(@D); new='$(CC) $(GOV_CPPFLAGS) $(CPPFLAGS) $(GOV_CFLAGS) $(CFLAGS) $(CXX) $(CXXFLAGS) $(GOV_LDFLAGS) $(LDFLAGS) $(enginedir) $(datadir) $(ENGINE_CFLAGS) $(DRY_RUN_FLAGS) $(ENGINE_BINDIR)'; \
	 [ "$$new" = "$$(cat $@ 2>/dev/null)" ] || printf '%s\n' "$$new" > $@

COMPILE = $(CC) $(GOV_CPPFLAGS) $(CPPFLAGS) $(GOV_CFLAGS) $(EXTRA) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/%.o: %.c $(B)/.flags
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  CC      %s\n' $<)
	$(Q)$(COMPILE)

# C++ is what the engine's own headers are in, and nothing else of ours.
# There -Wshadow minds a function with the name of a struct.
GOV_CXXFLAGS = -std=c++17 $(filter-out -std=c11 -Wshadow,$(GOV_CFLAGS))
COMPILE_CXX = $(CXX) $(GOV_CPPFLAGS) $(CPPFLAGS) $(GOV_CXXFLAGS) $(EXTRA) $(CXXFLAGS) -MMD -MP -c -o $@ $<
LINK_CXX = $(CXX) $(GOV_CXXFLAGS) $(CXXFLAGS) $(GOV_LDFLAGS) $(LDFLAGS)

$(B)/%.o: %.cpp $(B)/.flags
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  CXX     %s\n' $<)
	$(Q)$(COMPILE_CXX)

$(B)/governor/platform/platform_linux.o $(patsubst %.c,$(B)/%.o,$(wildcard governor/platform/linux_*.c)): private EXTRA = -D_GNU_SOURCE
$(filter $(B)/policies/% $(B)/governor/%,$(LIB_OBJ)): private EXTRA += $(LIB_CFLAGS)
$(B)/governor/runtime/engine_open.o: private EXTRA += -DGOV_ENGINE_DIR='"$(enginedir)"'
$(B)/governor/platform/gpu_vulkan.o: private EXTRA += $(VULKAN_CFLAGS)
# For the senders of datagrams, where the system tells of them.
$(B)/governor/platform/mail.o: private EXTRA += $(if $(filter Linux,$(SYSTEM)),-D_GNU_SOURCE)
# For O_TMPFILE, where the system has it.
$(B)/governor/device/measure_storage.o: private EXTRA += $(if $(filter Linux,$(SYSTEM)),-D_GNU_SOURCE)
$(LLAMA_OBJ): private EXTRA = $(ENGINE_CFLAGS) $(DRY_RUN_FLAGS)
# For madvise(), and anonymous memory.
$(B)/adapters/llama/llama_fresh.o $(B)/adapters/llama/llama_gains.o: private EXTRA += -D_GNU_SOURCE
$(B)/adapters/llama/llama_dry_run.o: private EXTRA = $(ENGINE_CXXFLAGS) $(DRY_RUN_FLAGS)
$(SERVER_OBJ): private EXTRA = $(SERVER_CFLAGS) $(SERVER_FLAGS)
$(GOVTOP_OBJ): private EXTRA = $(NCURSES_CFLAGS)

# configs/, as text, in the library: an app that links it needs no file.
SHIPPED := policies/balanced policies/responsive policies/frugal policies/server tiers models devices
$(B)/shipped.c: $(SHIPPED:%=configs/%.yaml)
	$(Q)mkdir -p $(@D)
	$(Q){ printf '/* Made from configs/; do not edit. */\n'; \
	 printf '#include "policies/shipped.h"\n'; \
	 for name in $(SHIPPED); do \
	  printf 'const char gov__shipped_%s[] =\n' $${name##*/}; \
	  sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' configs/$$name.yaml; \
	  printf ';\nconst size_t gov__shipped_%s_bytes = sizeof(gov__shipped_%s) - 1;\n' $${name##*/} $${name##*/}; \
	 done; } > $@

# The page of gov report, as text, in the command.
$(B)/report_page.c: tools/gov/report.html
	$(Q)mkdir -p $(@D)
	$(Q){ printf '/* Made from report.html; do not edit. */\n'; \
	 printf '#include "tools/gov/report_html.h"\n'; \
	 printf 'const char gov_report_page[] =\n'; \
	 sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' $<; \
	 printf ';\n'; } > $@
$(B)/report_page.o: private EXTRA = -Wno-overlength-strings
$(B)/report_page.o: $(B)/report_page.c $(B)/.flags
	$(Q)$(COMPILE)

# ISO C promises 4095 bytes of a string; every compiler here takes more.
$(B)/shipped.o: private EXTRA = -Wno-overlength-strings
$(B)/shipped.o: $(B)/shipped.c $(B)/.flags
	$(Q)$(COMPILE)

## ---- link ----------------------------------------------------------------------

LINK = $(CC) $(GOV_CFLAGS) $(CFLAGS) $(GOV_LDFLAGS) $(LDFLAGS)
# Tools find the library beside them, in the build tree and once installed.
HERE = $(if $(filter Darwin,$(SYSTEM)),@loader_path,$$ORIGIN)
RPATH = -Wl,-rpath,'$(HERE)/../lib'
SHARED = -shared -Wl,-soname,$(1)
ifeq ($(SYSTEM),Darwin)
SHARED = -dynamiclib -install_name @rpath/$(1)
endif

$(LIBA): $(LIB_OBJ)
	$(Q)mkdir -p $(@D) && rm -f $@
	$(if $(V),,@printf '  AR      %s\n' $@)
	$(Q)$(AR) rcs $@ $^

$(LIB): $(LIB_OBJ)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(LINK) $(call SHARED,$(SONAME)) -o $(@D)/$(SONAME) $^ $(LIB_LIBS) $(LIBS)
	$(Q)ln -sf $(SONAME) $@

# It names mmap() itself: _FILE_OFFSET_BITS would give it the name of mmap64().
$(B)/adapters/llama_interpose/%.o: private GOV_CPPFLAGS = -I. -D_GNU_SOURCE
$(B)/adapters/llama_interpose/wrapped.o: private EXTRA = -DGOV_INTERPOSE_WRAP
$(B)/adapters/llama_interpose/wrapped.o: adapters/llama_interpose/interpose.c $(B)/.flags
	$(Q)mkdir -p $(@D)
	$(Q)$(COMPILE)

$(B)/lib/libgovernor-llama-interpose.so: $(B)/adapters/llama_interpose/interpose.o
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(LINK) $(call SHARED,$(INTERPOSE_SONAME)) -o $(@D)/$(INTERPOSE_SONAME) $^ -ldl $(LIBS)
	$(Q)ln -sf $(INTERPOSE_SONAME) $@

$(B)/lib/libgovernor-llama-interpose.a: $(B)/adapters/llama_interpose/wrapped.o
	$(Q)mkdir -p $(@D) && rm -f $@
	$(if $(V),,@printf '  AR      %s\n' $@)
	$(Q)$(AR) rcs $@ $^

# Before the C library, which comes last, and also where nothing of ours calls it:
# the engine does, which is opened at run time.
INTERPOSE_LINK := -Wl,--push-state,--no-as-needed -lgovernor-llama-interpose -Wl,--pop-state
INTERPOSE_LIBS := $(if $(INTERPOSE),$(INTERPOSE_LINK))

$(GOV): $(GOV_OBJ) $(CLI_OBJ) $(LIB) $(INTERPOSE)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(LINK) -o $@ $(GOV_OBJ) $(CLI_OBJ) $(RPATH) -L$(B)/lib $(INTERPOSE_LIBS) -lgovernor $(call pkg,--libs,jansson) $(TOOL_LIBS) $(LIBS)

$(GOVTOP): $(GOVTOP_OBJ) $(CLI_OBJ) $(LIB)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(LINK) -o $@ $(GOVTOP_OBJ) $(CLI_OBJ) $(RPATH) -L$(B)/lib -lgovernor $(call pkg,--libs,jansson) $(NCURSES_LIBS) $(LIBS)

$(ADAPTER): $(LLAMA_OBJ) $(LIB)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(if $(DRY_RUN),$(LINK_CXX),$(LINK)) -shared -o $@ $(LLAMA_OBJ) -Wl,-rpath,'$(HERE)/..' -Wl,-rpath,'$(HERE)' -Wl,-rpath,$(ENGINE_LIBDIR) -L$(B)/lib -lgovernor $(ENGINE_LIBS) $(LIBS)

$(SERVER_ADAPTER): $(SERVER_OBJ) $(LIB)
	$(Q)mkdir -p $(@D)
	$(if $(V),,@printf '  LINK    %s\n' $@)
	$(Q)$(LINK) -shared -o $@ $(SERVER_OBJ) -Wl,-rpath,'$(HERE)/..' -L$(B)/lib -lgovernor $(SERVER_LIBS) $(LIBS)

$(MKMODEL): $(MODEL_OBJ)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -lm $(LIBS)
$(MODEL_OBJ): private EXTRA = -D_GNU_SOURCE

$(MEMLIMIT) $(READRATE) $(PRESS) $(DENY): $(B)/tests/%: $(B)/tests/tools/%.o
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)
$(patsubst %,$(B)/tests/tools/%.o,memlimit readrate press pressure_time fill_time hostile yield budget_cut deny): private EXTRA = -D_GNU_SOURCE

$(STOCK): $(B)/tests/tools/stock.o
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ -Wl,-rpath,$(ENGINE_LIBDIR) $(ENGINE_LIBS) $(LIBS)
$(B)/tests/tools/stock.o: private EXTRA = $(ENGINE_CFLAGS)

$(SHAPE): $(B)/tests/tools/shape.o
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK_CXX) -o $@ $^ -Wl,-rpath,$(ENGINE_LIBDIR) $(ENGINE_LIBS) $(LIBS)
$(B)/tests/tools/shape.o: private EXTRA = $(ENGINE_CXXFLAGS)

$(NEED) $(CUT) $(HEAPLOAD) $(SPILLER) $(TELEMETRY_MAKE) $(TELEMETRY_TIME) $(PRESSURE_TIME) $(PRESSURE_TOOLS): $(B)/tests/%: $(B)/tests/tools/%.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib -lgovernor $(LIBS)

# Write pages of their own: tests/system/govtop_load.sh, tests/bench/publish.sh.
$(CROWD) $(PUBLISH_TIME): $(B)/tests/%: $(B)/tests/tools/%.o $(LIBA)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIB_LIBS) $(LIBS)
$(B)/tests/tools/crowd.o: private EXTRA = -D_GNU_SOURCE

# A context without memory behind its cache is where its figures begin.
$(TALK_TIME): $(B)/tests/tools/talk_time.o $(LIB) $(INTERPOSE)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib $(INTERPOSE_LIBS) -lgovernor $(LIBS)

# What reading a header takes, beside llama.cpp: tests/bench/header.sh. Two
# programs, since both writer and llama.cpp have a gguf_free().
$(HEADER_TIME): $(B)/tests/tools/header_time.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -Wl,-rpath,$(ENGINE_LIBDIR) -L$(B)/lib -lgovernor $(ENGINE_LIBS) $(LIBS)
$(B)/tests/tools/header_time.o: private EXTRA = $(ENGINE_CFLAGS)

$(HEADER_MAKE): $(B)/tests/tools/header_make.o $(B)/tests/support/gguf_writer.o
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $^ $(LIBS)

# What a decision takes: tests/bench/policy.sh.
$(POLICY_TIME): $(B)/tests/bench/policy_time.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib -lgovernor $(LIBS)

# What holding a purgeable block takes: tests/bench/purgeable.sh.
$(PIN_TIME): $(B)/tests/tools/pin_time.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib -lgovernor $(LIBS)

# Hosts and their malloc: tests/system/jemalloc.sh.
$(JEHOST): $(B)/tests/tools/jehost.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib -lgovernor $(TOOL_LIBS) $(if $(filter Linux,$(SYSTEM)),-ldl) $(LIBS)
$(B)/tests/tools/jehost.o: private EXTRA = -D_GNU_SOURCE

$(PLAINHOST): $(B)/tests/tools/plainhost.o
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK_CXX) -o $@ $< $(if $(filter Linux,$(SYSTEM)),-ldl) $(LIBS)

## ---- tests ---------------------------------------------------------------------

# check.h is a system header for the compiler: its macros are not -Wpedantic.
$(UNIT_BIN:$(B)/tests/%=$(B)/tests/unit/%.o) $(ENGINE_TEST_BIN:$(B)/tests/%=$(B)/tests/engine/%.o) $(SUPPORT_OBJ): private EXTRA = -D_GNU_SOURCE $(patsubst -I%,-isystem %,$(CHECK_CFLAGS)) $(LIB_CFLAGS)

$(UNIT_BIN): $(B)/tests/%: $(B)/tests/unit/%.o $(SUPPORT_OBJ) $(CLI_OBJ) $(filter-out %/main.o,$(GOVTOP_OBJ)) $(LIBA)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(WRAP) $(LIBA) $(CHECK_LIBS) $(LIB_LIBS) $(NCURSES_LIBS) $(LIBS)

# A terminal, and govtop on a made-up machine to look at in it.
$(B)/tests/test_govtop_pty: $(GOVTOP_FIXED)
$(B)/tests/test_govtop_pty: private CHECK_LIBS += $(VTERM_LIBS)
$(B)/tests/unit/test_govtop_pty.o: private EXTRA += $(patsubst -I%,-isystem %,$(VTERM_CFLAGS))
$(GOVTOP_FIXED): $(B)/tests/tools/govtop_fixed.o $(filter-out %/top_sample.o,$(GOVTOP_OBJ)) $(CLI_OBJ) $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(RPATH) -L$(B)/lib -lgovernor $(call pkg,--libs,jansson) $(NCURSES_LIBS) $(LIBS)

# Graphics drivers with the answers of a script, opened by test_gpus.
FAKES := $(if $(filter Linux,$(SYSTEM)),$(patsubst %.c,$(B)/%.so,$(sort $(wildcard tests/fakes/fake_*.c))))
$(B)/tests/fakes/%.so: tests/fakes/%.c $(B)/.flags
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(GOV_CPPFLAGS) $(CPPFLAGS) $(GOV_CFLAGS) $(VULKAN_CFLAGS) $(CFLAGS) -MMD -MP $(GOV_LDFLAGS) $(LDFLAGS) -shared -o $@ $<
$(B)/tests/test_gpus: $(FAKES)
$(B)/tests/test_together: $(B)/tools/gov/report_together.o
$(B)/tests/test_metrics: $(B)/tools/gov/metrics_text.o $(B)/tools/gov/metrics_lines.o
$(B)/tests/unit/test_gpus.o: private EXTRA += -DFAKES='"$(B)/tests/fakes/"'

$(ENGINE_TEST_BIN): $(B)/tests/%: $(B)/tests/engine/%.o $(B)/tests/support/run.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(if $(filter %/llama_breakdown.o,$^),$(LINK_CXX),$(LINK)) -o $@ $(filter %.o,$^) $(RPATH) -Wl,-rpath,$(ENGINE_LIBDIR) -L$(B)/lib $(INTERPOSED) -lgovernor $(ENGINE_LIBS) $(CHECK_LIBS) $(LIBS)
$(ENGINE_TEST_BIN:$(B)/tests/%=$(B)/tests/engine/%.o): private EXTRA += $(ENGINE_CFLAGS) $(DRY_RUN_FLAGS)
# The others are programs that have not got it.
$(B)/tests/test_llama_interpose $(B)/tests/test_llama_copy: private INTERPOSED = $(INTERPOSE_LIBS)
$(B)/tests/test_llama_interpose $(B)/tests/test_llama_copy: $(INTERPOSE)
$(B)/tests/test_llama_need: $(if $(DRY_RUN),$(B)/tests/engine/llama_breakdown.o)
$(B)/tests/engine/llama_breakdown.o: private EXTRA = $(ENGINE_CXXFLAGS)
$(B)/tests/test_llama_gpu: $(if $(DRY_RUN),$(B)/tests/engine/fake_gpu.o)
$(B)/tests/engine/fake_gpu.o: private EXTRA = $(ENGINE_CFLAGS) -isystem $(ENGINE_SRCDIR)/ggml/src

$(REPLAY_BIN): $(B)/fuzz/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(LIBA)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $(filter %.o,$^) $(LIBA) $(LIB_LIBS) $(LIBS)
$(B)/tests/fuzz/%.o: private EXTRA = -D_GNU_SOURCE $(LIB_CFLAGS)

check: ## build and run every test, setting up what they need
	$(Q)scripts/deps.sh build engine check
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory check-run

check-run: all tests check-headers check-symbols check-generic check-docs
	$(Q)B=$(B) SAN=$(SAN) tests/run.sh

tests: $(UNIT_BIN) $(REPLAY_BIN) $(MKMODEL) $(MEMLIMIT) $(DENY) $(STOCK) $(SPILLER) $(CROWD) $(TELEMETRY_MAKE) $(POLICY_TIME) $(PLAINHOST) $(JEHOST) $(if $(DRY_RUN),$(SHAPE) $(NEED)) $(if $(HAVE_ENGINE),$(TALK_TIME) $(ENGINE_TEST_BIN))

check-asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(Q)$(MAKE) --no-print-directory SAN=asan check

check-tsan: ## the tests under ThreadSanitizer
	$(Q)$(MAKE) --no-print-directory SAN=tsan check

check-pressure: ## how fast pressure is answered, in memory cgroups, against the goals
	$(Q)scripts/deps.sh build engine check
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory check-pressure-run

check-pressure-run: $(LIB) $(MEMLIMIT) $(PRESS) $(PRESSURE_TIME) $(PRESSURE_TOOLS) $(if $(HAVE_ENGINE),$(ADAPTER) $(MKMODEL) $(B)/tests/test_llama_race)
	$(Q)B=$(B) tests/pressure/run.sh

# The device part's, which a kernel of another version or page size may break.
GUEST_TESTS := $(filter $(addprefix test_,device profile measure platform_linux platform_facts platform_place),$(notdir $(UNIT_BIN)))
FOLLOWER := $(B)/tests/follower
$(FOLLOWER): $(B)/tests/guest/follower.o $(LIB)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -o $@ $< $(RPATH) -L$(B)/lib -lgovernor $(LIBS)

check-guest: ## as root in small virtual machines: other kernels, page sizes, limits
	$(Q)scripts/deps.sh build
	$(Q)scripts/deps.sh guest || :
	$(Q)$(MAKE) --no-print-directory check-guest-run

check-guest-run: $(GOV) $(GOVTOP) $(FOLLOWER) $(B)/tests/hostile $(if $(HAVE_ENGINE),$(ADAPTER) $(MKMODEL)) $(GUEST_TESTS:%=$(B)/tests/%)
	$(Q)B=$(B) SAN=$(SAN) CC='$(CC)' MAKE='$(MAKE)' V=$(V) GUEST_TESTS='$(GUEST_TESTS)' tests/guest/run.sh

check-clang: ## build everything with clang, warnings as errors
	$(Q)scripts/deps.sh build engine check
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory CC=clang WERROR=1 B=build/clang all tests

# Each public header alone, as C11 and as C++11.
check-headers:
	$(Q)for h in $(PUBLIC_H); do \
	  printf '#include "%s"\ntypedef int alone;\n' $$h | $(CC) -std=c11 -I. -Wall -Wextra -Wpedantic -Wconversion -Werror -fsyntax-only -x c - || exit 1; \
	  printf '#include "%s"\ntypedef int alone;\n' $$h | $(CXX) -std=c++11 -I. -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ - || exit 1; \
	done

# Only gov_ names leave the library, and of the other the four that it stands for.
check-symbols: $(LIB) $(INTERPOSE)
	$(if $(INTERPOSE),$(Q)odd=$$(nm -D --defined-only $(INTERPOSE) | awk '$$3 !~ /^(mmap|mmap64|munmap|posix_madvise|ggml_backend_buffer_clear|gov_llama_interpose_(begin|end|watch|clears))$$/ && $$3 !~ /^_(init|fini|edata|end|_bss_start)$$/ && $$3 !~ /^__(asan|odr_asan|bss)/ {print $$3}'); \
	 [ -z "$$odd" ] || { echo "libgovernor-llama-interpose exports names of others: $$odd"; exit 1; })
	$(Q)odd=$$(nm -D --defined-only $(LIB) | awk '$$3 !~ /^gov_/ && $$3 !~ /^_(init|fini|edata|end|_bss_start)$$/ && $$3 !~ /^__(asan|odr_asan|bss)/ {print $$3}'); \
	 [ -z "$$odd" ] || { echo "libgovernor exports names of others: $$odd"; exit 1; }

# The generic platform always builds.
check-generic:
	$(Q)mkdir -p $(B)/generic
	$(Q)$(CC) $(GOV_CPPFLAGS) $(GOV_CFLAGS) -Werror -c -o $(B)/generic/platform.o governor/platform/platform_generic.c

check-docs: $(GOV) $(GOVTOP)
	$(Q)tests/lint/layers.sh
	$(Q)B=$(B) tests/lint/manpages.sh

lint: ## formatting, clang-tidy, banned calls, layers, scripts, man pages
	$(Q)scripts/deps.sh build engine check lint
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory lint-run

lint-run: $(GOV) $(GOVTOP)
	$(Q)B=$(B) ENGINE_CFLAGS='$(ENGINE_CFLAGS) $(DRY_RUN_FLAGS)' ENGINE_CXXFLAGS='$(if $(DRY_RUN),$(ENGINE_CXXFLAGS) $(DRY_RUN_FLAGS))' tests/lint/lint.sh '$(GOV_CPPFLAGS)'

format: ## rewrite the sources in the project's format
	$(Q)git ls-files '*.c' '*.h' '*.cpp' | xargs clang-format -i

bench: ## measure against stock llama.cpp and fio; figures go to build/bench
	$(Q)scripts/deps.sh build engine bench
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)$(MAKE) --no-print-directory bench-run

bench-run: all $(MKMODEL) $(MEMLIMIT) $(READRATE) $(CUT) $(HEAPLOAD) $(TALK_TIME) $(STOCK) $(POLICY_TIME) $(PIN_TIME) $(PUBLISH_TIME) $(if $(HAVE_ENGINE),$(HEADER_TIME) $(HEADER_MAKE)) $(if $(DRY_RUN),$(SHAPE) $(NEED))
	$(Q)B=$(B) tests/bench/bench.sh

FUZZ_SECONDS ?= 60
fuzz: ## run every fuzzer for FUZZ_SECONDS (60) each
	$(Q)scripts/deps.sh build check
	$(Q)$(MAKE) --no-print-directory fuzz-run

FUZZ_BIN := $(patsubst tests/fuzz/fuzz_%.c,$(B)/fuzz/fuzz_%,$(FUZZ_SRC))
$(FUZZ_BIN): $(B)/fuzz/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(LIBA)
	$(Q)mkdir -p $(@D)
	$(Q)$(LINK) -fsanitize=fuzzer,address,undefined -o $@ $(filter %.o,$^) $(LIBA) $(LIB_LIBS) $(LIBS)

fuzz-run:
	$(Q)$(MAKE) --no-print-directory CC=clang SAN=fuzz B=build/fuzz fuzz-programs
	$(Q)for f in $(FUZZ_SRC); do \
	  name=$$(basename $$f .c | sed s/^fuzz_//); d=build/fuzz/$$name; \
	  echo "fuzz $$name, $(FUZZ_SECONDS) s"; \
	  mkdir -p $$d; \
	  build/fuzz/fuzz/fuzz_$$name -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 -artifact_prefix=$$d/ \
	    $$d tests/fuzz/corpus/$$name > build/fuzz/$$name.log 2>&1 || { tail -40 build/fuzz/$$name.log; exit 1; }; \
	  grep -E 'stat::(number_of_executed_units|average_exec_per_sec)' build/fuzz/$$name.log; \
	done

fuzz-programs: $(FUZZ_BIN)

## ---- Darwin --------------------------------------------------------------------

# macOS without a Mac: every source of the library, the tools and the adapter is
# compiled and linked for both processors and analysed by clang; none of it is run.
# scripts/darwin.sh gets the compiler and says what is linked against. It has no C++
# library: the engine's dry run is left out.
DARWIN  := build/darwin
# What nobody calls is kept, so that what it calls must be there too.
DARWIN_LINK = $(LINK) -Wl,-undefined,error -Wl,--no-gc-sections
DARWIN_CLANG = -target $(ARCH)-apple-macos13 -nostdlibinc -isystem $(DARWIN)/system $(CPPFLAGS) $(GOV_CPPFLAGS) $(filter-out -pthread,$(GOV_CFLAGS)) -DGOV_ENGINE_DIR='""'
DARWIN_LIB = $(B)/lib/libgovernor.0.dylib
# Only the platform knows the processors apart.
DARWIN_ANALYSED = $(patsubst %.c,$(B)/%.analysed,$(if $(filter arm64,$(ARCH)),$(LIB_SRC) $(CLI_SRC) $(GOV_SRC) $(GOVTOP_SRC) $(if $(HAVE_ENGINE),$(LLAMA_SRC)),$(PLATFORM)))
darwin_make = $(MAKE) --no-print-directory SYSTEM=Darwin ARCH=$(1) B=$(DARWIN)/$(1) DARWIN=$(DARWIN) \
	 CC='$(abspath $(DARWIN))/cc -target $(2)-macos.13.0' PKG_CONFIG=false CFLAGS=-O2 WERROR=1 SAN= \
	 CPPFLAGS='-isystem $(DARWIN)/include' LDFLAGS='-L$(DARWIN)/lib' LIBS= ENGINE_CFLAGS= ENGINE_SRCDIR= darwin-run

check-darwin: ## compile, link and analyse everything for macOS; nothing is run
	$(Q)scripts/deps.sh build engine check lint
	$(Q)scripts/engine.sh $(ENGINE)
	$(Q)scripts/darwin.sh $(DARWIN)
	+$(Q)$(call darwin_make,arm64,aarch64)
	+$(Q)$(call darwin_make,x86_64,x86_64)

darwin-run: $(LIB_OBJ) $(CLI_OBJ) $(GOV_OBJ) $(GOVTOP_OBJ) $(if $(HAVE_ENGINE),$(LLAMA_OBJ)) $(DARWIN_ANALYSED)
	$(Q)mkdir -p $(B)/lib/governor $(B)/bin
	$(Q)$(DARWIN_LINK) -dynamiclib -install_name @rpath/$(notdir $(DARWIN_LIB)) -o $(DARWIN_LIB) $(LIB_OBJ) -lyaml -ljansson -lsqlite3
	$(Q)$(DARWIN_LINK) -o $(B)/bin/gov $(GOV_OBJ) $(CLI_OBJ) $(DARWIN_LIB) -ljansson
	$(Q)$(DARWIN_LINK) -o $(B)/bin/govtop $(GOVTOP_OBJ) $(CLI_OBJ) $(DARWIN_LIB) -ljansson -lncursesw -ltinfo
	$(if $(HAVE_ENGINE),$(Q)$(DARWIN_LINK) -dynamiclib -o $(B)/lib/governor/libgovernor-llama.so $(LLAMA_OBJ) $(DARWIN_LIB) -lllama -lggml -lggml-base)
	$(Q)tests/lint/macho.sh $(ARCH) $(DARWIN_LIB) $(B)/bin/gov $(B)/bin/govtop $(if $(HAVE_ENGINE),$(B)/lib/governor/libgovernor-llama.so)

# An object is younger than every header it includes, so this follows the object.
# The analyser silences the compiler's warnings: hence two runs. make lint has no
# headers for the platform's files.
$(B)/%.analysed: %.c $(B)/%.o
	$(if $(V),,@printf '  ANALYSE %s\n' $<)
	$(Q)clang $(DARWIN_CLANG) -fsyntax-only $<
	$(Q)clang $(DARWIN_CLANG) --analyze -Xclang -analyzer-werror -Xclang -analyzer-output=text -o /dev/null $<
	$(if $(filter $(PLATFORM),$<),$(Q)clang-tidy --quiet $< -- $(DARWIN_CLANG) 2>/dev/null)
	$(Q): > $@

## ---- install ---------------------------------------------------------------------

# Paths are words for make and sh alike.
empty :=
space := $(empty) $(empty)
ifneq ($(findstring $(space),$(DESTDIR)$(prefix)$(bindir)$(libdir)$(includedir)$(datadir)),)
$(error DESTDIR and prefix cannot hold a space; install elsewhere and move it)
endif
# An engine that was built into the cache of whoever installs goes along; one of
# the system's stays where it is.
ENGINE_SHIPPED := $(if $(findstring /governor/engine/,$(ENGINE_LIBDIR)),$(notdir $(wildcard $(ENGINE_LIBDIR)/lib*.so*)))
SERVER_SHIPPED := $(if $(ENGINE_SHIPPED),$(if $(HAVE_SERVER),$(wildcard $(ENGINE_BINDIR)/llama-server)))

install: all ## install to prefix (/usr/local), below DESTDIR
	$(Q)install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir)/pkgconfig $(DESTDIR)$(enginedir) \
	  $(DESTDIR)$(includedir)/governor-0/governor $(DESTDIR)$(includedir)/governor-0/policies \
	  $(DESTDIR)$(datadir)/governor $(DESTDIR)$(mandir)/man1
	$(Q)install -m 755 $(GOV) $(GOVTOP) $(DESTDIR)$(bindir)
	$(Q)install -m 755 $(B)/lib/$(SONAME) $(DESTDIR)$(libdir)
	$(Q)ln -sf $(SONAME) $(DESTDIR)$(libdir)/libgovernor.so
	$(Q)install -m 644 $(LIBA) $(DESTDIR)$(libdir)
	$(if $(INTERPOSE),$(Q)install -m 755 $(B)/lib/$(INTERPOSE_SONAME) $(DESTDIR)$(libdir) && \
	  ln -sf $(INTERPOSE_SONAME) $(DESTDIR)$(libdir)/libgovernor-llama-interpose.so && \
	  install -m 644 $(INTERPOSEA) $(DESTDIR)$(libdir))
	$(if $(HAVE_ENGINE),$(Q)install -m 755 $(ADAPTER) $(DESTDIR)$(enginedir))
	$(if $(HAVE_SERVER),$(Q)install -m 755 $(SERVER_ADAPTER) $(DESTDIR)$(enginedir))
	$(if $(SERVER_SHIPPED),$(Q)install -m 755 $(SERVER_SHIPPED) $(DESTDIR)$(enginedir))
	$(if $(ENGINE_SHIPPED),$(Q)cd $(ENGINE_LIBDIR) && cp -P $(ENGINE_SHIPPED) $(abspath $(DESTDIR)$(enginedir)))
	$(Q)install -m 644 $(filter governor/%,$(PUBLIC_H)) $(DESTDIR)$(includedir)/governor-0/governor
	$(Q)install -m 644 $(filter policies/%,$(PUBLIC_H)) $(DESTDIR)$(includedir)/governor-0/policies
	$(Q)install -d $(DESTDIR)$(datadir)/governor/policies $(DESTDIR)$(datadir)/governor/cases $(DESTDIR)$(datadir)/governor/traces
	$(Q)install -m 644 configs/*.yaml $(DESTDIR)$(datadir)/governor
	$(Q)install -m 644 configs/policies/*.yaml $(DESTDIR)$(datadir)/governor/policies
	$(Q)install -m 644 configs/cases/*.yaml $(DESTDIR)$(datadir)/governor/cases
	$(Q)install -m 644 configs/traces/*.trace $(DESTDIR)$(datadir)/governor/traces
	$(Q)install -m 644 docs/man/*.1 $(DESTDIR)$(mandir)/man1
	$(Q)printf '%s\n' 'prefix=$(prefix)' 'libdir=$(libdir)' 'includedir=$(includedir)' '' \
	  'Name: governor' 'Description: memory-pressure-aware resource governor for local AI apps' \
	  'Version: $(VERSION)' 'Requires.private: $(LIB_PKGS)' \
	  'Libs: -L$${libdir} -lgovernor' 'Libs.private: -pthread' 'Cflags: -I$${includedir}/governor-0' \
	  > $(DESTDIR)$(libdir)/pkgconfig/governor.pc

uninstall: ## remove what install put there
	$(Q)rm -f $(DESTDIR)$(bindir)/gov $(DESTDIR)$(bindir)/govtop $(DESTDIR)$(libdir)/$(SONAME) \
	  $(DESTDIR)$(libdir)/libgovernor.so $(DESTDIR)$(libdir)/libgovernor.a \
	  $(addprefix $(DESTDIR)$(libdir)/,$(INTERPOSE_SONAME) $(notdir $(INTERPOSE) $(INTERPOSEA))) \
	  $(DESTDIR)$(libdir)/pkgconfig/governor.pc $(DESTDIR)$(enginedir)/libgovernor-llama.so \
	  $(DESTDIR)$(enginedir)/libgovernor-llama-server.so $(addprefix $(DESTDIR)$(enginedir)/,$(notdir $(SERVER_SHIPPED))) \
	  $(addprefix $(DESTDIR)$(enginedir)/,$(ENGINE_SHIPPED)) $(patsubst docs/man/%,$(DESTDIR)$(mandir)/man1/%,$(wildcard docs/man/*.1))
	$(Q)rm -rf $(DESTDIR)$(includedir)/governor-0 $(DESTDIR)$(datadir)/governor
	$(Q)rmdir $(DESTDIR)$(enginedir) 2>/dev/null || true

docs: $(GOV) ## regenerate the reference pages that come from tables
	$(Q)$(GOV) policy facts --markdown > $(B)/facts.md && mv $(B)/facts.md docs/facts.md

compile_commands.json: FORCE ## for editors
	$(Q){ echo '['; for f in $(LIB_SRC) $(CLI_SRC) $(GOV_SRC) $(GOVTOP_SRC) $(LLAMA_SRC) $(SERVER_SRC) $(UNIT_SRC); do \
	  printf '%s{"directory":"%s","file":"%s","command":"cc $(GOV_CPPFLAGS) -D_GNU_SOURCE $(GOV_CFLAGS) $(ENGINE_CFLAGS) -c %s"}\n' "$$sep" "$(CURDIR)" $$f $$f; sep=,; done; echo ']'; } > $@

clean: ## remove what was built here; the engine's cache stays
	$(Q)rm -rf build compile_commands.json

help: ## this list
	@awk -F':.*## ' '/^[a-z_.-]+:.*## /{printf "  %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST) | sort

FORCE:
.PHONY: check-pressure check-pressure-run all deps engine demo demo-run check check-run tests check-asan check-tsan check-guest check-guest-run check-clang check-darwin darwin-run check-headers check-symbols check-generic check-docs lint lint-run format bench bench-run fuzz fuzz-run fuzz-programs install uninstall docs clean help FORCE

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)

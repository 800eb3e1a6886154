/* SPDX-License-Identifier: MIT */
/* Everything that an app needs. See docs/architecture.md for what is where. */
#ifndef GOV_GOVERNOR_H
#define GOV_GOVERNOR_H

#include "governor/activity.h"
#include "governor/control.h"
#include "governor/device.h"
#include "governor/engine.h"
#include "governor/memory.h"
#include "governor/model.h"
#include "governor/models.h"
#include "governor/page.h"
#include "governor/policy.h"
#include "governor/relief.h"
#include "governor/runtime.h"
#include "governor/trace.h"
#include "governor/version.h"
#include "governor/weights.h"
#include "policies/alloc.h"
#include "policies/capacity.h"
#include "policies/cases.h"
#include "policies/facts.h"
#include "policies/ladder.h"
#include "policies/level.h"
#include "policies/plan.h"
#include "policies/policy_text.h"
#include "policies/replay.h"
#include "policies/status.h"
#include "policies/what_if.h"

#endif

/*
 * The values of a policy file as the pure core takes them. Looks at no
 * machine: PID 1 and trimtabctl get the same rules from the same file.
 */
#ifndef TRIMTAB_RULES_H
#define TRIMTAB_RULES_H

#include <stddef.h>

#include "config/config.h"
#include "policy/fleet.h"
#include "policy/life.h"
#include "policy/target.h"

struct life_config rules_life(const struct config *config);
struct fleet_config rules_fleet(const struct config *config);
/*
 * Thresholds of different kinds can be compared only now that the limit is
 * known. 0, or -1 and one sentence.
 */
int rules_check(const struct fleet_config *fleet, uint64_t limit_bytes, char *ret_error, size_t size);

enum target_mode rules_target(const struct config *config);

#endif

/* Two configurations are the same by what their keys say: padding may differ. Include after cmocka.h. */
#ifndef TRIMTAB_TESTS_SAME_CONFIG_H
#define TRIMTAB_TESTS_SAME_CONFIG_H

#include "config/keys.h"

static inline void assert_same_config(const struct config *left, const struct config *right)
{
    for (int i = 0; i < keys_count; i++) {
        char left_text[2 * CONFIG_TEXT_MAX], right_text[2 * CONFIG_TEXT_MAX];
        keys_print(&keys[i], left, left_text, sizeof left_text);
        keys_print(&keys[i], right, right_text, sizeof right_text);
        assert_string_equal(left_text, right_text);
    }
}

#endif

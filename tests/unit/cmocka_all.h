/* cmocka.h wants these before it. */
#ifndef TRIMTAB_TESTS_CMOCKA_ALL_H
#define TRIMTAB_TESTS_CMOCKA_ALL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif

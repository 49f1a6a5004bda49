/* Parsers that must not read past the end of their text. */
#ifndef TESTS_UNIT_EDGE_H
#define TESTS_UNIT_EDGE_H

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cmocka_all.h"

/* A copy that ends at an unreadable page, so that a read past its end is a fault. */
static inline char *at_the_edge(const char *text, size_t size)
{
    static char *pages;
    size_t page = (size_t)getpagesize();
    if (!pages) {
        pages = mmap(NULL, page * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(pages, MAP_FAILED);
        assert_return_code(mprotect(pages + page, page, PROT_NONE), errno);
    }
    assert_true(size <= page);
    memcpy(pages + page - size, text, size);
    return pages + page - size;
}

#endif

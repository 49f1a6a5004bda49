/*
 * malloc(3) for the static binary: a start-up heap.
 *
 * trimtab allocates nothing once the worker runs, so what is allocated before
 * is never worth giving back: a fixed arena, handed out from the bottom. The
 * last block can be resized and freed in place; what does not fit comes from
 * mmap(2) and stays. This takes the place of a general allocator, which costs
 * 9 KiB of code and two more pages of memory. Single-threaded, as trimtab is.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ARENA_BYTES = 64 << 10, ALIGN = 16 };

struct block {
    size_t size; /* of the payload, a multiple of ALIGN */
    size_t unused;
};

static _Alignas(ALIGN) unsigned char arena[ARENA_BYTES];
static size_t used_bytes;

static int is_last(const struct block *block)
{
    return (const unsigned char *)(block + 1) + block->size == arena + used_bytes;
}

static struct block *block_of(void *pointer)
{
    return (struct block *)pointer - 1;
}

void *malloc(size_t size)
{
    struct block *block = NULL;
    if (size > PTRDIFF_MAX - 2 * sizeof *block) {
        errno = ENOMEM;
        return NULL;
    }
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    size_t whole = sizeof *block + size;
    if (whole <= ARENA_BYTES - used_bytes) {
        block = (struct block *)(void *)(arena + used_bytes);
        used_bytes += whole;
    } else {
        block = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return NULL;
    }
    block->size = size;
    return block + 1;
}

void free(void *pointer)
{
    if (pointer != NULL && is_last(block_of(pointer)))
        used_bytes -= sizeof(struct block) + block_of(pointer)->size;
}

void *calloc(size_t count, size_t size)
{
    size_t whole = 0;
    if (__builtin_mul_overflow(count, size, &whole)) {
        errno = ENOMEM;
        return NULL;
    }
    void *pointer = malloc(whole);
    return pointer == NULL ? NULL : memset(pointer, 0, whole);
}

void *realloc(void *pointer, size_t size)
{
    if (pointer == NULL)
        return malloc(size);
    size_t before = block_of(pointer)->size;
    if (size <= before)
        return pointer;
    size_t used_before = used_bytes;
    free(pointer); /* the last block: the new one begins at the same place */
    void *moved = malloc(size);
    if (moved == NULL)
        used_bytes = used_before;
    else if (moved != pointer)
        memcpy(moved, pointer, before);
    return moved;
}

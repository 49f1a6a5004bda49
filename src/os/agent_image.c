/* libtrimtab-agent.so as the build made it, inside trimtab: for installs of a single file. */
__asm__(".section .rodata.agent_image,\"a\"\n"
        ".balign 8\n"
        ".global agent_image\n"
        ".global agent_image_end\n"
        "agent_image:\n"
        ".incbin \"" TRIMTAB_AGENT_FILE "\"\n"
        "agent_image_end:\n"
        ".byte 0\n"
        ".previous\n");

/* The smallest program there is to start: nothing of its own hides what the init costs. */
int main(void)
{
    return 0;
}

/* Which release a device is to run, written from docs/protocol.md alone: no line of it comes from the agent.
 *
 * Standard input has one case after the other, a word a line, or two or three, parted by tabs:
 *   device ID | label KEY VALUE | cohort NAME | select KEY VALUE (of the last cohort)
 *   entry RELEASE ARTIFACT SINCE SALT | ppm COHORT SHARE (of the last entry)
 *   halted ARTIFACT | quarantine ARTIFACT GENERATION | confirmed|previous|trial RELEASE ARTIFACT | decide
 * For each "decide" one line is written: the bucket of every entry, then "keep", "return RELEASE" or "stage RELEASE".
 */
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64
#define LONGEST 512
typedef char Text[LONGEST];
struct entry { Text release, artifact, salt; long since; Text cohort[MOST]; long ppm[MOST]; int shares; };
struct cohort { Text name, key[MOST], value[MOST]; int asked; };
struct slot { int kept; Text release, artifact; };

static struct entry entries[MOST];
static struct cohort cohorts[MOST];
static struct slot confirmed, previous, trial;
static Text device, keys[MOST], values[MOST], halted[MOST], failed[MOST];
static long failed_at[MOST];
static int entry_count, cohort_count, label_count, halted_count, failed_count;

static uint32_t bucket(const char *salt, const char *id)
{
    char text[2 * LONGEST + 16];
    unsigned char digest[SHA256_DIGEST_LENGTH];
    uint64_t u = 0;
    int length = snprintf(text, sizeof text, "cohort/v1|%s|%s", salt, id);
    SHA256((unsigned char *)text, (size_t)length, digest);
    for (int n = 0; n < 8; n++) u = u << 8 | digest[n];
    return (uint32_t)(((unsigned __int128)u * 1000000) >> 64);
}

static const char *my_cohort(void)
{
    for (int c = 0; c < cohort_count; c++) {
        int matched = 0;
        for (int a = 0; a < cohorts[c].asked; a++)
            for (int l = 0; l < label_count; l++)
                matched += !strcmp(cohorts[c].key[a], keys[l]) && !strcmp(cohorts[c].value[a], values[l]);
        if (matched == cohorts[c].asked) return cohorts[c].name;
    }
    return NULL;
}

static int is_halted(const char *artifact)
{
    for (int h = 0; h < halted_count; h++) if (!strcmp(halted[h], artifact)) return 1;
    return 0;
}

static int is_quarantined(const struct entry *one)
{
    for (int q = 0; q < failed_count; q++) if (!strcmp(failed[q], one->artifact)) return one->since <= failed_at[q];
    return 0;
}

static int is_in(const struct entry *one, const char *cohort)
{
    for (int s = 0; s < one->shares; s++)
        if (!strcmp(one->cohort[s], cohort)) return *device && bucket(one->salt, device) < one->ppm[s];
    return 0;
}

/* Versions are compared number by number. */
static int is_older(const char *release, const char *other)
{
    long a[3], b[3];
    sscanf(strchr(release, '/'), "/%ld.%ld.%ld", a, a + 1, a + 2);
    sscanf(strchr(other, '/'), "/%ld.%ld.%ld", b, b + 1, b + 2);
    for (int n = 0; n < 3; n++) if (a[n] != b[n]) return a[n] < b[n];
    return 0;
}

static void decide(void)
{
    const struct slot *running = trial.kept ? &trial : confirmed.kept ? &confirmed : NULL;
    const struct slot *refuge = trial.kept ? &confirmed : &previous;
    const char *cohort = my_cohort();
    const struct entry *chosen = NULL;
    for (int e = 0; e < entry_count; e++) printf("%u ", bucket(entries[e].salt, device));
    if (running && is_halted(running->artifact) && refuge->kept && !is_halted(refuge->artifact)
        && is_older(refuge->release, running->release)) {
        printf("return %s\n", refuge->release);
        return;
    }
    for (int e = 0; cohort && !chosen && e < entry_count; e++)
        if (!is_halted(entries[e].artifact) && !is_quarantined(&entries[e]) && is_in(&entries[e], cohort))
            chosen = &entries[e];
    if (!chosen || (running && !strcmp(running->artifact, chosen->artifact)))
        puts("keep");
    else if ((confirmed.kept && !strcmp(confirmed.artifact, chosen->artifact))
             || (previous.kept && !strcmp(previous.artifact, chosen->artifact)))
        printf("return %s\n", chosen->release);
    else
        printf("stage %s\n", chosen->release);
}

static void forget(void)
{
    entry_count = cohort_count = label_count = halted_count = failed_count = 0;
    confirmed.kept = previous.kept = trial.kept = 0;
    *device = 0;
}

static void copy(char *to, const char *from) { snprintf(to, LONGEST, "%s", from ? from : ""); }

static void keep(struct slot *slot, char *const *word)
{
    slot->kept = 1;
    copy(slot->release, word[1]);
    copy(slot->artifact, word[2]);
}

static int read_line(char *const *word)
{
    struct entry *entry = entries + entry_count - 1;
    struct cohort *cohort = cohorts + cohort_count - 1;
    if (!strcmp(word[0], "device")) copy(device, word[1]);
    else if (!strcmp(word[0], "label")) { copy(keys[label_count], word[1]); copy(values[label_count++], word[2]); }
    else if (!strcmp(word[0], "cohort")) { copy(cohorts[cohort_count].name, word[1]); cohorts[cohort_count++].asked = 0; }
    else if (!strcmp(word[0], "select")) { copy(cohort->key[cohort->asked], word[1]); copy(cohort->value[cohort->asked++], word[2]); }
    else if (!strcmp(word[0], "entry")) {
        entry = entries + entry_count++;
        copy(entry->release, word[1]);
        copy(entry->artifact, word[2]);
        entry->since = atol(word[3]);
        copy(entry->salt, word[4]);
        entry->shares = 0;
    }
    else if (!strcmp(word[0], "ppm")) { copy(entry->cohort[entry->shares], word[1]); entry->ppm[entry->shares++] = atol(word[2]); }
    else if (!strcmp(word[0], "halted")) copy(halted[halted_count++], word[1]);
    else if (!strcmp(word[0], "quarantine")) { copy(failed[failed_count], word[1]); failed_at[failed_count++] = atol(word[2]); }
    else if (!strcmp(word[0], "confirmed")) keep(&confirmed, word);
    else if (!strcmp(word[0], "previous")) keep(&previous, word);
    else if (!strcmp(word[0], "trial")) keep(&trial, word);
    else if (!strcmp(word[0], "decide")) { decide(); forget(); }
    else return 0;
    return 1;
}

int main(void)
{
    char line[4 * LONGEST], *word[6];
    while (fgets(line, sizeof line, stdin)) {
        int count = 0;
        line[strcspn(line, "\n")] = 0;
        for (char *at = line; at && count < 6; count++) {
            word[count] = at;
            if ((at = strchr(at, '\t'))) *at++ = 0;
        }
        while (count < 6) word[count++] = "";
        if (!read_line(word)) return 1;
    }
    return 0;
}

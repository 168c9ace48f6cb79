/* Writes down what comes by C-STORE before Orthanc looks it up.
 *
 * With OverwriteInstances false Orthanc drops a file under known UIDs without a word: no change, no error, and the
 * modality hears of success. Its "stored" callback is called for such a file too. So each file goes into a folder
 * first, and ingest takes away what it has compared with what is stored. The plugin asks Orthanc nothing, which the
 * SDK forbids within a callback, and parses nothing.
 *
 * A file that cannot be written is refused with "out of resources" (PS3.4 table B.2-1), so that the modality keeps it.
 * Names: `<nanoseconds>-<count>-<AE title in hexadecimal>.dcm` in KEEPAGAIN_DIR. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <orthanc/OrthancCPlugin.h>

#define OUT_OF_RESOURCES 0xA700
#define AE_TITLE_LENGTH 16
#define EXPORTED __attribute__((visibility("default")))

static OrthancPluginContext *orthanc;
static const char *folder;
static atomic_uint count;

static int write_all(int descriptor, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(descriptor, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return -1;
        data += written;
        size -= (size_t)written;
    }
    return 0;
}

static int name_file(char *path, size_t size, const char *title)
{
    struct timespec now;
    char encoded[2 * AE_TITLE_LENGTH + 1] = "";
    for (size_t index = 0; title != NULL && title[index] != '\0' && index < AE_TITLE_LENGTH; index++)
        snprintf(encoded + 2 * index, 3, "%02x", (unsigned char)title[index]);
    clock_gettime(CLOCK_REALTIME, &now);
    int length = snprintf(path, size, "%s/%lld%09ld-%u-%s.dcm", folder, (long long)now.tv_sec, now.tv_nsec,
                          atomic_fetch_add(&count, 1), encoded);
    return length > 0 && (size_t)length < size ? 0 : -1;
}

/* Under a hidden name first: whoever lists the folder sees whole files only. */
static int keep(const char *data, size_t size, const char *title)
{
    char kept[PATH_MAX], hidden[PATH_MAX + 8];
    if (name_file(kept, sizeof kept, title) != 0)
        return -1;
    snprintf(hidden, sizeof hidden, "%s.part", kept);
    int descriptor = open(hidden, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return -1;
    int failed = write_all(descriptor, data, size);
    failed |= close(descriptor);
    if (failed == 0 && rename(hidden, kept) == 0)
        return 0;
    unlink(hidden);
    return -1;
}

static int32_t received(uint16_t *status, const OrthancPluginDicomInstance *instance)
{
    const char *data = OrthancPluginGetInstanceData(orthanc, instance);
    int64_t size = OrthancPluginGetInstanceSize(orthanc, instance);
    if (data != NULL && size >= 0 && keep(data, (size_t)size, OrthancPluginGetInstanceRemoteAet(orthanc, instance)) == 0)
        return 1;
    OrthancPluginLogError(orthanc, "keepagain: a received file cannot be kept; it is refused");
    *status = OUT_OF_RESOURCES;
    return 0;
}

EXPORTED int32_t OrthancPluginInitialize(OrthancPluginContext *context)
{
    orthanc = context;
    folder = getenv("KEEPAGAIN_DIR");
    if (folder == NULL || *folder == '\0') {
        OrthancPluginLogError(context, "keepagain: KEEPAGAIN_DIR is not set");
        return -1;
    }
    OrthancPluginRegisterIncomingCStoreInstanceFilter(context, received);
    return 0;
}

EXPORTED void OrthancPluginFinalize(void) {}

EXPORTED const char *OrthancPluginGetName(void)
{
    return "keepagain";
}

EXPORTED const char *OrthancPluginGetVersion(void)
{
    return "1";
}

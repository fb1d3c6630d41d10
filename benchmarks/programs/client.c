/* The limit of the broker: what a C client reaches (nats.c, Debian's libnats-dev).
 *
 *   client publish URL SUBJECT TASKS       asynchronous publish; prints the seconds from the first to the last answer
 *   client publish-lines URL SUBJECT FILE  the same, with the lines of a file for payloads
 *   client work URL STREAM CONSUMER TASKS  fetch and ack until so many were taken
 */
#include <nats/nats.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PENDING 8192 /* unanswered publishes */

/* Messages of one fetch: the fastest of 500, 1000, 2000, 4000 and 10000. Fetches that overlap were tried as well, and are
 * slower: the server is what is busy, with 0.9 s of processor time for 100,000 tasks next to 0.15 s of this client, and it
 * takes 1.4 s where two requests of 4000 are under way at a time, or two connections fetch. */
#define FETCH 4000

#define CHECK(call)                                                                                  \
    do {                                                                                             \
        natsStatus status_ = (call);                                                                 \
        if (status_ != NATS_OK) {                                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, natsStatus_GetText(status_));         \
            exit(1);                                                                                 \
        }                                                                                            \
    } while (0)

static volatile long refused = 0;

static void on_refused(jsCtx *js, jsPubAckErr *error, void *closure)
{
    (void)js;
    (void)closure;
    if (refused++ == 0)
        fprintf(stderr, "refused: %s\n", error->ErrText ? error->ErrText : natsStatus_GetText(error->Err));
}

/* A counted task, or the next line of a file; -1 at the end. */
static int next_payload(char **payload, size_t *room, long index, long tasks, FILE *lines)
{
    if (lines) {
        ssize_t length = getline(payload, room, lines);
        return length > 0 && (*payload)[length - 1] == '\n' ? (int)length - 1 : (int)length;
    }
    return index < tasks ? snprintf(*payload, *room, "{\"index\": %ld}", index) : -1;
}

static void publish(natsConnection *nc, const char *subject, long tasks, FILE *lines)
{
    jsCtx *js = NULL;
    jsOptions options;
    size_t room = 64;
    char *payload = malloc(room);
    int length;

    CHECK(jsOptions_Init(&options));
    options.PublishAsync.MaxPending = MAX_PENDING;
    options.PublishAsync.StallWait = 30000;
    options.PublishAsync.ErrHandler = on_refused;
    CHECK(natsConnection_JetStream(&js, nc, &options));
    int64_t begun = nats_NowInNanoSeconds();
    for (long i = 0; (length = next_payload(&payload, &room, i, tasks, lines)) >= 0; i++)
        CHECK(js_PublishAsync(js, subject, payload, length, NULL));
    CHECK(js_PublishAsyncComplete(js, NULL));
    printf("%.6f\n", (nats_NowInNanoSeconds() - begun) / 1e9);
    if (refused)
        exit(1);
    jsCtx_Destroy(js);
    free(payload);
}

static void work(natsConnection *nc, const char *stream, const char *consumer, long tasks)
{
    jsCtx *js = NULL;
    natsSubscription *subscription = NULL;
    jsSubOptions options;
    jsErrCode code;

    CHECK(natsConnection_JetStream(&js, nc, NULL));
    CHECK(jsSubOptions_Init(&options));
    options.Stream = stream;
    options.Consumer = consumer;
    CHECK(js_PullSubscribe(&subscription, js, NULL, consumer, NULL, &options, &code));
    for (long taken = 0; taken < tasks;) {
        natsMsgList list;
        int wanted = tasks - taken < FETCH ? (int)(tasks - taken) : FETCH; /* never more than there are: that waits */
        CHECK(natsSubscription_Fetch(&list, subscription, wanted, 5000, &code));
        for (int i = 0; i < list.Count; i++)
            CHECK(natsMsg_Ack(list.Msgs[i], NULL));
        taken += list.Count;
        natsMsgList_Destroy(&list);
    }
    CHECK(natsConnection_Flush(nc));
    natsSubscription_Destroy(subscription);
    jsCtx_Destroy(js);
}

int main(int argc, char **argv)
{
    natsConnection *nc = NULL;

    if (argc == 5 && strcmp(argv[1], "publish") == 0) {
        CHECK(natsConnection_ConnectTo(&nc, argv[2]));
        publish(nc, argv[3], atol(argv[4]), NULL);
    } else if (argc == 5 && strcmp(argv[1], "publish-lines") == 0) {
        FILE *lines = fopen(argv[4], "r");
        if (!lines) {
            perror(argv[4]);
            return 1;
        }
        CHECK(natsConnection_ConnectTo(&nc, argv[2]));
        publish(nc, argv[3], 0, lines);
        fclose(lines);
    } else if (argc == 6 && strcmp(argv[1], "work") == 0) {
        CHECK(natsConnection_ConnectTo(&nc, argv[2]));
        work(nc, argv[3], argv[4], atol(argv[5]));
    } else {
        fprintf(stderr, "client publish URL SUBJECT TASKS | client publish-lines URL SUBJECT FILE | "
                        "client work URL STREAM CONSUMER TASKS\n");
        return 2;
    }
    natsConnection_Destroy(nc);
    return 0;
}

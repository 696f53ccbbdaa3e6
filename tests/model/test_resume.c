// SPDX-License-Identifier: MIT
// A run that was interrupted, killed or damaged: what goes on goes on bit for bit, and what cannot
// says why and harms nothing.
#include "train_test.h"

#include <errno.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// 700 bytes are 41 windows of 16: about ten updates of two batches of two windows make an epoch.
static wn_train_options several_epochs(void *const *state, const char *name) {
    const char *data = scratch_path(state, "text.txt");
    write_text(data, 700, 1);
    wn_train_options o = small_options(scratch_path(state, name), data);
    o.grad_accum = 2;
    o.steps = 36;
    o.eval_every = 7;
    return o;
}

static const char *path_in(const char *dir, const char *name) {
    static char slots[8][1200];
    static unsigned next;
    char *slot = slots[next++ % 8];
    (void)snprintf(slot, sizeof slots[0], "%s/%s", dir, name);
    return slot;
}

static void interrupted(void **state, const char *rule, bool shuffle) {
    wn_train_options o = several_epochs(state, "straight");
    o.sparsity = &rule;
    o.sparsity_count = rule != NULL;
    o.mask_every = 5;
    o.mask_freeze_after = 25;
    o.mask_decay = 2e-4;
    o.shuffle = shuffle;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "broken");
    train_until(&o, 1);
    o.resume = true;
    train_until(&o, 13); // between two choices of masks
    train_until(&o, 14);
    train_until(&o, 20);
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "straight"), o.out);
    assert_same_series(scratch_path(state, "straight"), o.out, "eval", "loss");
    if (rule != NULL) assert_same_series(scratch_path(state, "straight"), o.out, "mask", "flips");
}

static void test_dense(void **state) {
    interrupted(state, NULL, true);
}
static void test_dense_in_order(void **state) {
    interrupted(state, NULL, false);
}
static void test_tile(void **state) {
    interrupted(state, "mlp.*=2:4:tile", true);
}
static void test_row(void **state) {
    interrupted(state, "*_proj=2:4:row", true);
}

// A finished run has nothing left to do; more steps go on from its end.
static void test_finished(void **state) {
    wn_train_options o = several_epochs(state, "run");
    o.steps = 5;
    o.schedule = "constant";
    OK(train_quietly(&o));
    o.resume = true;
    listener *l = calloc(1, sizeof *l);
    OK(wn_train(&o, listen, NULL, l));
    assert_int_equal(l->count[WN_EVENT_STEP], 0);
    assert_int_equal(l->count[WN_EVENT_SAVE], 0);
    o.steps = 9;
    OK(wn_train(&o, listen, NULL, l));
    assert_int_equal(l->count[WN_EVENT_STEP], 4);
    assert_true(said(l, "note: steps: 9 from here on, 5 before"));
    wn_train_options p = several_epochs(state, "straight");
    p.steps = 9;
    p.schedule = "constant";
    p.eval_every = 5;
    OK(train_quietly(&p));
    assert_same_run(o.out, p.out);
    free(l);
}

// What a run is stays; the rest may change. Defaults do not count as asked for.
static void test_options(void **state) {
    wn_train_options o = several_epochs(state, "run"), p;
    o.resolved = "{\"first\": 1}";
    train_until(&o, 4);
    listener *l = calloc(1, sizeof *l);
    wn_train_defaults(&p);
    p.out = o.out;
    p.resume = true;
    p.threads = 1;
    p.hidden_size = 64;
    p.lr = 5e-3;
    p.resolved = "{\"second\": 1}";
    l->stop_at = 8;
    assert_int_equal(wn_train(&p, listen, stop_there, l), WN_CANCELLED);
    assert_true(said(l, "note: hidden_size: this run has 16; 64 is ignored"));
    assert_true(said(l, "note: lr: 0.005 from here on, 0.003 before"));
    assert_null(strstr(l->text, "batch_size:"));
    wn_series s = read_series(o.out, "step", "lr");
    assert_true(s.count == 8 && s.y[7] > 1.5 * s.y[3]);
    wn_series_free(&s);
    wn_series t = read_series(o.out, "step", "tokens");
    assert_true(t.y[7] == 8 * 4 * 16); // batches as before, not the default ones
    wn_series_free(&t);
    wn__json *j;
    OK(wn__json_read(path_in(o.out, "run.json"), 0, &j));
    assert_non_null(wn__json_get(wn__json_get(j, "options"), "first"));
    assert_true(wn__json_real(wn__json_get(wn__json_get(j, "train"), "lr")) == 5e-3);
    wn__json_free(j);
    const char *given[] = {"steps"}; // named: 1000 is the default and is meant
    p.given = given;
    p.given_count = 1;
    p.lr = 0.7;
    l->size = 0;
    l->stop_at = 9;
    assert_int_equal(wn_train(&p, listen, stop_there, l), WN_CANCELLED);
    assert_true(said(l, "note: steps: 1000 from here on, 36 before"));
    assert_null(strstr(l->text, "lr:"));
    free(l);
}

// What decides which states there are stays; how the method goes on may change.
static void test_method_options(void **state) {
    const char *rule = "mlp.*=lowrank:4+2:4";
    wn_train_options o = several_epochs(state, "run");
    o.sparsity = &rule;
    o.sparsity_count = 1;
    o.optimizer = "loro_adamw";
    o.exact_every = 3;
    train_until(&o, 4);
    listener *l = calloc(1, sizeof *l);
    o.resume = true;
    o.optimizer = "sgd";
    o.dtype = "bfloat16";
    o.lowrank_init = "auto";
    o.exact_every = 5;
    o.beta2 = 0.99;
    l->stop_at = 8;
    assert_int_equal(wn_train(&o, listen, stop_there, l), WN_CANCELLED);
    assert_true(said(l, "note: optimizer: this run has loro_adamw; sgd is ignored"));
    assert_true(said(l, "note: dtype: this run has float32; bfloat16 is ignored"));
    assert_true(said(l, "note: lowrank_init: this run has xavier; auto is ignored"));
    assert_true(said(l, "note: exact_every: 5 from here on, 3 before"));
    assert_true(said(l, "note: beta2: 0.99 from here on, 0.999 before"));
    wn_series s = read_series(o.out, "exact", "pairs");
    assert_int_equal(s.count, 2);
    assert_true(s.x[0] == 3 && s.x[1] == 5 && s.y[1] == 4);
    wn_series_free(&s);
    free(l);
}

static void test_nothing_to_resume(void **state) {
    wn_train_options o = several_epochs(state, "run");
    o.resume = true;
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("nothing to resume");
}

// Begun, but killed before its first checkpoint: it begins again.
static void test_before_first_checkpoint(void **state) {
    wn_train_options o = several_epochs(state, "straight");
    o.steps = 6;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "run");
    OK(train_quietly(&o));
    OK(wn__dir_remove(path_in(o.out, "step-000006")));
    assert_int_equal(unlink(path_in(o.out, "latest")), 0);
    o.resume = true;
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "straight"), o.out);
}

// The model a run began from may be gone once there is a checkpoint.
static void test_start_removed(void **state) {
    wn_train_options o = several_epochs(state, "start"), p = several_epochs(state, "straight");
    o.steps = 3;
    OK(train_quietly(&o));
    p.init_from = o.out;
    p.steps = 8;
    OK(train_quietly(&p));
    p.out = scratch_path(state, "run");
    train_until(&p, 4);
    OK(wn__dir_remove(o.out));
    p.resume = true;
    OK(train_quietly(&p));
    assert_same_run(scratch_path(state, "straight"), p.out);
}

// Metrics of updates that are made again are not there twice, nor is a torn line.
static void test_metrics_cut(void **state) {
    wn_train_options o = several_epochs(state, "straight");
    o.steps = 12;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "run");
    o.save_every = 4;
    OK(train_quietly(&o));
    assert_int_equal(unlink(path_in(o.out, "latest")), 0);
    assert_int_equal(symlink("step-000004", path_in(o.out, "latest")), 0);
    FILE *f = fopen(path_in(o.out, "metrics.jsonl"), "a");
    fputs("{\"kind\":\"step\",\"step\":3,\"lo", f);
    fclose(f);
    o.resume = true;
    o.save_every = 5; // 8 stays from before, 12 is made again
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "straight"), o.out);
    wn_series s = read_series(o.out, "step", "loss");
    assert_int_equal(s.count, 12);
    for (size_t i = 0; i < 12; i++)
        assert_true(s.x[i] == (double)(i + 1));
    wn_series_free(&s);
}

/* Killed. */

static pid_t begin_child(const wn_train_options *o) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) _exit(train_quietly(o) == WN_OK ? 0 : 1);
    return pid;
}

static void sleep_for(double seconds) {
    struct timespec t = {.tv_sec = (time_t)seconds,
                         .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Children are killed at random moments, each taking up what the last one left, until one of them
// ends by itself.
static void killed(void **state, const char *rule, void (*set)(wn_train_options *o)) {
    wn_train_options o = several_epochs(state, "straight");
    o.sparsity = &rule;
    o.sparsity_count = rule != NULL;
    if (set != NULL) set(&o);
    o.steps = 1;
    o.threads = 2;
    o.out = scratch_path(state, "first");
    OK(train_quietly(&o)); // what is measured once a process takes no part of the time below
    o.out = scratch_path(state, "straight");
    o.steps = 60;
    o.save_every = 3;
    o.keep = 3;
    double start = now();
    OK(train_quietly(&o));
    double whole = now() - start;
    o.out = scratch_path(state, "killed");
    bool done = false;
    int kills = 0;
    for (uint64_t round = 0; !done; round++) {
        uint32_t w[4];
        int how;
        wn__philox_draw(20, WN_STREAM_TEST, round, w);
        o.resume = wn__file_exists(path_in(o.out, "run.json"));
        pid_t pid = begin_child(&o);
        if (round < 10) {
            sleep_for(whole * (0.02 + 0.25 * (double)wn__philox_uniform(w[0])));
            kill(pid, SIGKILL);
        }
        assert_int_equal(waitpid(pid, &how, 0), pid);
        if (WIFEXITED(how)) {
            assert_int_equal(WEXITSTATUS(how), 0);
            done = true;
        }
        kills += WIFSIGNALED(how);
    }
    assert_true(kills >= 2);
    assert_same_run(scratch_path(state, "straight"), o.out);
    assert_same_series(scratch_path(state, "straight"), o.out, "eval", "loss");
    wn__names names; // the next session removed what they left
    OK(wn__dir_list(o.out, &names));
    for (size_t i = 0; i < names.count; i++)
        assert_null(strstr(names.name[i], ".tmp-"));
    wn__names_free(&names);
}

static void exact_steps(wn_train_options *o) {
    o->optimizer = "loro_adamw";
    o->exact_every = 7;
    o->refresh = "all";
}
static void sparse_activations(wn_train_options *o) {
    o->act_warmup = 30;
    o->act_permute = true;
    o->optimizer = "adam8bit";
}

static void test_killed(void **state) {
    killed(state, NULL, NULL);
}
static void test_killed_sparse(void **state) {
    killed(state, "mlp.*=2:4", NULL);
}
static void test_killed_factors(void **state) {
    killed(state, "*_proj=lowrank:4+2:4+mvue", exact_steps);
}
static void test_killed_activations(void **state) {
    killed(state, "mlp.act=act2:4:mvue", sparse_activations);
}

// Leftovers of each kind, as a killed process leaves them.
static void test_leftovers(void **state) {
    wn_train_options o = several_epochs(state, "straight");
    o.steps = 8;
    OK(train_quietly(&o));
    o.out = scratch_path(state, "run");
    train_until(&o, 5);
    OK(wn__dir_make(path_in(o.out, "step-000008.tmp-123")));
    OK(wn__file_write(path_in(o.out, "step-000008.tmp-123/model.safetensors"), "x", 1));
    OK(wn__file_write(path_in(o.out, "run.json.tmp-99-0"), "x", 1));
    OK(wn__file_write(path_in(o.out, "data/train.tokens.tmp-99-0"), "x", 1));
    OK(wn__dir_make(path_in(o.out, "step-000008"))); // published, `latest` not moved
    OK(wn__file_write(path_in(o.out, "step-000008/state.json"), "x", 1));
    o.resume = true;
    OK(train_quietly(&o));
    assert_same_run(scratch_path(state, "straight"), o.out);
    assert_false(wn__dir_exists(path_in(o.out, "step-000008.tmp-123")));
    assert_false(wn__file_exists(path_in(o.out, "run.json.tmp-99-0")));
    assert_false(wn__file_exists(path_in(o.out, "data/train.tokens.tmp-99-0")));
}

// Two trainers in one directory: the second is refused while the first one lives.
static bool try_second(void *ctx) {
    wn_train_options *o = ctx;
    wn_train_options second = *o;
    second.resume = true;
    assert_int_equal(train_quietly(&second), WN_INVALID);
    assert_message("another process");
    return true;
}

static void test_locked(void **state) {
    wn_train_options o = several_epochs(state, "run");
    assert_int_equal(wn_train(&o, NULL, try_second, &o), WN_CANCELLED);
    o.resume = true;
    OK(train_quietly(&o));
}

/* Damaged. */

static void change_byte(const char *path, long at) {
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    fseek(f, at, at < 0 ? SEEK_END : SEEK_SET);
    int c = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(c ^ 1, f);
    fclose(f);
}

static wn_train_options damaged_run(void *const *state) {
    wn_train_options o = several_epochs(state, "run");
    o.steps = 12;
    o.save_every = 4;
    OK(train_quietly(&o));
    o.steps = 14;
    o.resume = true;
    return o;
}

static void test_corrupt(void **state) {
    static const char *const files[] = {"model.safetensors", "training.safetensors", "config.json",
                                        "tokenizer.json"};
    wn_train_options o = damaged_run(state);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "step-000012/%s", files[i]);
        const char *path = path_in(o.out, name);
        change_byte(path, -9);
        assert_int_equal(train_quietly(&o), WN_FORMAT);
        assert_message(files[i]);
        assert_message("checksum");
        assert_message("the older step-000008 is intact");
        change_byte(path, -9);
    }
    change_byte(path_in(o.out, "step-000012/model.safetensors"), -1);
    change_byte(path_in(o.out, "step-000008/model.safetensors"), -1);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("the older step-000004 is intact");
    change_byte(path_in(o.out, "step-000004/state.json"), 0);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("no older step is intact");
}

// What the message advises works.
static void test_older_step(void **state) {
    wn_train_options o = damaged_run(state);
    change_byte(path_in(o.out, "step-000012/training.safetensors"), -1);
    OK(wn__link_replace("step-000008", path_in(o.out, "latest")));
    OK(train_quietly(&o));
    wn_series s = read_series(o.out, "step", "loss");
    assert_int_equal(s.count, 14);
    wn_series_free(&s);
    assert_int_equal(unlink(path_in(o.out, "latest")), 0); // then the newest step counts
    o.steps = 15;
    listener *l = calloc(1, sizeof *l);
    OK(wn_train(&o, listen, NULL, l));
    assert_int_equal(l->count[WN_EVENT_STEP], 1);
    free(l);
}

static void test_missing(void **state) {
    wn_train_options o = damaged_run(state);
    assert_int_equal(truncate(path_in(o.out, "step-000012/model.safetensors"), 100), 0);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("100 bytes");
    assert_int_equal(unlink(path_in(o.out, "step-000012/model.safetensors")), 0);
    assert_int_equal(train_quietly(&o), WN_IO);
    assert_message("model.safetensors");
    assert_message("the older step-000008 is intact");
    assert_int_equal(unlink(path_in(o.out, "latest")), 0);
    assert_int_equal(symlink("../elsewhere", path_in(o.out, "latest")), 0);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_message("'../elsewhere'");
}

static void test_other_data(void **state) {
    wn_train_options o = damaged_run(state);
    const char *shard = path_in(o.out, "data/train.tokens");
    wn_tokens ids;
    OK(wn_shard_read(shard, &ids));
    ids.id[0] ^= 1;
    OK(wn_shard_write(shard, ids.id, ids.count, 257, 0, 0));
    wn_tokens_free(&ids);
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("not the tokens this run was begun with");
    change_byte(shard, -1);
    assert_int_equal(train_quietly(&o), WN_FORMAT);
    assert_int_equal(unlink(shard), 0);
    assert_int_equal(train_quietly(&o), WN_IO);
    assert_message("train.tokens");
}

static void test_another_model(void **state) {
    const char *rule = "mlp.*=2:4";
    wn_train_options o = damaged_run(state), p = several_epochs(state, "wider");
    p.hidden_size = 24;
    p.steps = 12;
    OK(train_quietly(&p));
    OK(wn__dir_remove(path_in(o.out, "step-000012")));
    assert_int_equal(rename(path_in(p.out, "step-000012"), path_in(o.out, "step-000012")), 0);
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("a checkpoint of another model: hidden_size is 24 there, 16 in run.json");
    p = several_epochs(state, "sparse");
    p.steps = 12;
    p.sparsity = &rule;
    p.sparsity_count = 1;
    OK(train_quietly(&p));
    OK(wn__dir_remove(path_in(o.out, "step-000012")));
    assert_int_equal(rename(path_in(p.out, "step-000012"), path_in(o.out, "step-000012")), 0);
    assert_int_equal(train_quietly(&o), WN_INVALID);
    assert_message("sparsity rule 1 is mlp.*=2:4 there, missing in run.json");
}

/* Disks. */

// A mounted directory for a test, or a skip that says why.
static const char *mounted(void *const *state, const char *options) {
    const char *dir = scratch_path(state, "mount");
    OK(wn__dir_make(dir));
    if (mount("tmpfs", dir, "tmpfs", 0, options) == 0) return dir;
    print_message("skipped: mounting a tmpfs is not permitted here (%s)\n", strerror(errno));
    skip();
    return NULL;
}

static int unmount_and_teardown(void **state) {
    (void)umount2(scratch_path(state, "mount"), MNT_DETACH);
    return scratch_teardown(state);
}

static void assert_only_steps(const char *run, const char *step) {
    wn__names names;
    OK(wn__dir_list(run, &names));
    for (size_t i = 0; i < names.count; i++) {
        assert_null(strstr(names.name[i], ".tmp-"));
        if (strncmp(names.name[i], "step-", 5) == 0) assert_string_equal(names.name[i], step);
    }
    wn__names_free(&names);
}

// The disk fills up between two checkpoints: the second one leaves no trace, the first one can be
// used.
static void test_full_disk(void **state) {
    const char *dir = mounted(state, "size=1m");
    wn_train_options o = several_epochs(state, "mount/run");
    o.steps = 6;
    o.save_every = 5;
    o.keep = 1;
    OK(train_quietly(&o)); // 6 alone is left
    char *ballast = calloc(1, 1 << 20);
    size_t room = 1 << 20;
    const char *filler = path_in(dir, "filler");
    while (room > 4096 && wn__file_write(filler, ballast, room) != WN_OK)
        room -= 4096;
    OK(wn__file_write(path_in(dir, "last"), ballast, 0));
    free(ballast);
    o.resume = true;
    o.steps = 8;
    wn_status status = train_quietly(&o);
    assert_int_equal(status, WN_IO);
    assert_message("No space left on device");
    assert_message("run/");
    assert_only_steps(o.out, "step-000006");
    assert_int_equal(unlink(filler), 0);
    OK(train_quietly(&o));
    o.out = scratch_path(state, "straight");
    o.resume = false;
    OK(train_quietly(&o));
    assert_same_file(path_in(o.out, "latest"), scratch_path(state, "mount/run/latest"),
                     "config.json");
}

// The checkpoint itself does not fit: the message names the step, the file and the reason.
static void test_no_room_for_checkpoint(void **state) {
    const char *dir = mounted(state, "size=300k");
    (void)dir;
    wn_train_options o = several_epochs(state, "mount/run");
    o.steps = 4;
    o.save_every = 2;
    wn_status status =
        train_quietly(&o); // 27 kB of model, three times that of training state, twice
    assert_int_equal(status, WN_IO);
    assert_message("was not saved");
    assert_message("safetensors");
    assert_message("No space left on device");
    assert_only_steps(o.out, "step-000002");
    wn_session *s;
    OK(wn_session_open(o.out, &(wn_session_options){.threads = 1}, &s));
    wn_session_free(s);
}

static void test_read_only(void **state) {
    const char *dir = mounted(state, "size=4m");
    wn_train_options o = several_epochs(state, "mount/run");
    o.save_every = 3;
    o.steps = 6;
    listener *l = calloc(1, sizeof *l);
    train_until(&o, 3);
    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
    o.resume = true;
    assert_int_equal(wn_train(&o, listen, NULL, l), WN_IO);
    assert_message("Read-only file system");
    assert_int_equal(mount(NULL, dir, NULL, MS_REMOUNT, NULL), 0);
    assert_only_steps(o.out, "step-000003");
    OK(wn_train(&o, listen, NULL, l));
    free(l);
}

#define TEST(name)  cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
#define MOUNT(name) cmocka_unit_test_setup_teardown(name, scratch_setup, unmount_and_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_dense),
        TEST(test_dense_in_order),
        TEST(test_tile),
        TEST(test_row),
        TEST(test_finished),
        TEST(test_options),
        TEST(test_method_options),
        TEST(test_nothing_to_resume),
        TEST(test_before_first_checkpoint),
        TEST(test_start_removed),
        TEST(test_metrics_cut),
        TEST(test_killed),
        TEST(test_killed_sparse),
        TEST(test_killed_factors),
        TEST(test_killed_activations),
        TEST(test_leftovers),
        TEST(test_locked),
        TEST(test_corrupt),
        TEST(test_older_step),
        TEST(test_missing),
        TEST(test_other_data),
        TEST(test_another_model),
        MOUNT(test_full_disk),
        MOUNT(test_no_room_for_checkpoint),
        MOUNT(test_read_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: MIT
/* Help, the manual page and shell completion, all written out of the two tables. */
#include "options.h"
#include <string.h>
#include <winnow/status.h>

void help_overview(FILE *out) {
    fprintf(out,
            "winnow %s: train, compress and run language models with structured weights\n\nusage: "
            "winnow COMMAND [ARGUMENTS] [OPTIONS]\n\n",
            wn_version());
    for (int i = 0; i < CMD_COUNT; i++)
        fprintf(out, "  %-10s %s\n", command_at((command_id)i)->name,
                command_at((command_id)i)->summary);
    fputs("\n'winnow help COMMAND' lists a command's options.\n"
          "Exit codes: 0 ok, 1 failed, 2 usage, 3 validation failed, 4 not supported here, 130 "
          "interrupted after a clean checkpoint.\n",
          out);
}

/* "  -n, --steps N" with its default. */
static void option_line(FILE *out, option_id id) {
    const option_row *r = option_at(id);
    char name[OPTION_NAME_MAX], left[120], letter[8] = "    ";
    option_name(id, name);
    if (r->letter) snprintf(letter, sizeof letter, "-%c, ", r->letter);
    bool negative = r->type == FLAG && strcmp(r->fallback, "true") == 0;
    snprintf(left, sizeof left, "%s--%s%s%s%s", letter, negative ? "[no-]" : "", name,
             *r->arg ? " " : "", r->arg);
    fprintf(out, "  %-34s %s", left, r->help);
    if (r->type != FLAG && *r->fallback && strcmp(r->fallback, "0") != 0)
        fprintf(out, " [%s]", r->fallback);
    fputc('\n', out);
}

void help_command(FILE *out, command_id id) {
    const command_row *c = command_at(id);
    fprintf(out, "usage: winnow %s%s%s [OPTIONS]\n%s\n", c->name, *c->arguments ? " " : "",
            c->arguments, c->summary);
    const char *group = "";
    for (int i = 0; i < O_COUNT; i++) {
        const option_row *r = option_at((option_id)i);
        if (!(r->commands & 1 << id)) continue;
        if (strcmp(group, r->group) != 0) fprintf(out, "\n%s:\n", group = r->group);
        option_line(out, (option_id)i);
    }
}

/* roff reads a leading '.' or '\'' as a request, '-' as a hyphen and '\' as an escape. */
static void roff(FILE *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c == '\\')
            fputs("\\e", out);
        else if (*c == '-')
            fputs("\\-", out);
        else if ((*c == '.' || *c == '\'') && c == text)
            fprintf(out, "\\&%c", *c);
        else
            fputc(*c, out);
    }
}

static void man_command(FILE *out, command_id id) {
    const command_row *c = command_at(id);
    fprintf(out, ".SS winnow %s %s\n", c->name, c->arguments);
    roff(out, c->summary);
    fputc('\n', out);
    for (int i = 0; i < O_COUNT; i++) {
        const option_row *r = option_at((option_id)i);
        if (!(r->commands & 1 << id) || i == O_help || i == O_config) continue;
        char name[OPTION_NAME_MAX];
        option_name((option_id)i, name);
        fputs(".TP\n.B ", out);
        if (r->letter) fprintf(out, "\\-%c, ", r->letter);
        fputs("\\-\\-", out);
        roff(out, name);
        if (*r->arg) fprintf(out, " \\fI%s\\fR", r->arg);
        fputc('\n', out);
        roff(out, r->help);
        fputc('\n', out);
    }
}

void help_man(FILE *out) {
    fprintf(out,
            ".TH WINNOW 1 \"\" \"winnow %s\" \"User Commands\"\n.SH NAME\nwinnow \\- train, "
            "compress and run language models with structured "
            "weights\n.SH SYNOPSIS\n.B winnow\n.I COMMAND\n[\\fIARGUMENTS\\fR] "
            "[\\fIOPTIONS\\fR]\n.SH DESCRIPTION\nUnderscores and hyphens are the same in option "
            "names. A flag may be given bare, as \\-\\-flag=True or \\-\\-flag=False, or negated "
            "as \\-\\-no\\-flag. Every command takes \\-\\-config FILE (lines "
            "\\(aqname = value\\(aq) and \\-\\-help.\n.SH COMMANDS\n",
            wn_version());
    for (int i = 0; i < CMD_COUNT; i++)
        man_command(out, (command_id)i);
    fputs(".SH EXIT STATUS\n0 ok, 1 failed, 2 usage, 3 validation failed, 4 not supported here, "
          "130 interrupted after a clean checkpoint.\n"
          ".SH ENVIRONMENT\n.TP\n.B WN_CPU\nnone, avx2 or avx512: the highest instruction set to "
          "use.\n.TP\n.B WN_KERNEL\nas \\-\\-kernels.\n.TP\n.B "
          "NO_COLOR\nno colours.\n",
          out);
}

void help_completion(FILE *out) {
    fputs("_winnow() {\n  local cur=${COMP_WORDS[COMP_CWORD]} words\n  if [ \"$COMP_CWORD\" = 1 ]; "
          "then\n    words=\"",
          out);
    for (int i = 0; i < CMD_COUNT; i++)
        fprintf(out, "%s%s", i ? " " : "", command_at((command_id)i)->name);
    fputs("\"\n    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n    return\n  fi\n  case "
          "${COMP_WORDS[1]} in\n",
          out);
    for (int c = 0; c < CMD_COUNT; c++) {
        fprintf(out, "  %s) words=\"", command_at((command_id)c)->name);
        for (int i = 0; i < O_COUNT; i++) {
            char name[OPTION_NAME_MAX];
            option_name((option_id)i, name);
            if (option_at((option_id)i)->commands & 1 << c) fprintf(out, "--%s ", name);
        }
        fputs("\" ;;\n", out);
    }
    fputs("  esac\n  case $cur in\n  -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n  *) "
          "COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n  "
          "esac\n}\ncomplete -o filenames -F _winnow winnow\n",
          out);
}

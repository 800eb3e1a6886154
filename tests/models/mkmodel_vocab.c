/* SPDX-License-Identifier: MIT */
/* The vocabulary: which token texts a SentencePiece model of a given size
 * has. It depends on its size alone, not on the seed, so a prompt has the same
 * tokens in every model of one vocabulary size. Never knows a file format.
 *
 * SentencePiece merges neighbours, so a piece can only be reached through
 * smaller ones. Here every prefix of a piece is a piece: reading from the left,
 * a word always merges into the longest piece that begins it. Common English
 * words come first, then pseudo-words that a walk over all pieces grows letter
 * by letter. */
#include "mkmodel_vocab.h"

#include "mkmodel_base.h"
#include "mkmodel_types.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_START "\xe2\x96\x81" /* U+2581, a lower block: SPM's space */

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, BYTE = 6 };

enum {
    WORD_START_LEN = 3,
    LONGEST_WORD = WORD_START_LEN + 12,
    LONGEST_TAIL = 5 /* of a piece that does not start a word */
};

struct vocab {
    struct mk_token *tokens;
    uint32_t count;
    uint32_t want;
    uint32_t *slots; /* open addressing; 0 is free, else a token's number + 1 */
    uint32_t slot_mask;
};

/* Most wanted first: a small vocabulary takes as many as fit. */
static const char common_words[] =
    "the a and to of in Once upon time little robot was it he she is that "
    "you The for on with his her they had one day said there very big not but "
    "all so play went saw wanted happy friend from have be as at are this "
    "I we can what do Hello world tell me about story write explain how why "
    "When He She It In They model memory computer hot cold water sun tree "
    "house girl boy dog cat bird mom dad old new good like love look see run "
    "make help find home door red blue green long small town forest king sea "
    "under over into out up down then when who where your my their were would "
    "could should has will just because some many more other after before "
    "again always never every night morning light dark word work people place "
    "thing think know take come give live feel eat sleep learn read language "
    "simple question answer problem number first last next great important "
    "different system data machine device phone battery weight layer token "
    "page cache disk paper river mountain city country school family money "
    "year week hour life death war peace science history music dance colour "
    "white black round square open close begin end start stop keep hold carry "
    "bring send build break fix change move turn walk talk speak listen hear "
    "touch smell taste dream hope fear laugh smile cry sing fly swim jump "
    "climb fall rise grow cook wash clean drive ride travel visit meet share "
    "being doing going having making taking looking playing running walking "
    "talking thinking reading writing together something nothing everything "
    "anything someone everyone tomorrow yesterday today beautiful wonderful "
    "terrible dangerous careful quickly slowly suddenly finally really almost "
    "quick brown fox jumps lazy What This There You My We But And How Why "
    "Please Tell Write Explain List "
    "Give Summarise Describe Translate Question Answer User Assistant";

static uint32_t hash(const char *text, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)text[i]) * 16777619u;
    return h ^ h >> 15;
}

/* Adds the text unless it is there already or the vocabulary is full. */
static void add(struct vocab *v, const char *text, size_t len, uint8_t type)
{
    uint32_t slot = hash(text, len) & v->slot_mask;
    struct mk_token *token;

    if (v->count == v->want)
        return;
    for (; v->slots[slot] != 0; slot = (slot + 1) & v->slot_mask) {
        token = &v->tokens[v->slots[slot] - 1];
        if (token->len == len && memcmp(token->text, text, len) == 0)
            return;
    }
    token = &v->tokens[v->count++];
    memcpy(token->text, text, len);
    token->len = (uint8_t)len;
    token->type = type;
    v->slots[slot] = v->count;
}

static void add_specials(struct vocab *v)
{
    add(v, "<unk>", 5, UNKNOWN);
    add(v, "<s>", 3, CONTROL);
    add(v, "</s>", 4, CONTROL);
    for (unsigned byte = 0; byte < 256; byte++) {
        char text[8];

        snprintf(text, sizeof(text), "<0x%02X>", byte);
        add(v, text, 6, BYTE);
    }
    add(v, WORD_START, WORD_START_LEN, NORMAL);
    for (int c = '!'; c <= '~'; c++) {
        char text = (char)c;

        add(v, &text, 1, NORMAL);
    }
}

static void add_common_words(struct vocab *v)
{
    const char *word = common_words;

    while (*word != '\0') {
        size_t len = strcspn(word, " ");
        char text[LONGEST_WORD] = WORD_START;

        memcpy(text + WORD_START_LEN, word, len);
        for (size_t n = 1; n <= len; n++)
            add(v, text, WORD_START_LEN + n, NORMAL);
        word += len + strspn(word + len, " ");
    }
}

static bool is_vowel(char c)
{
    return c != '\0' && strchr("aeiou", c) != NULL;
}

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

/* The letters that may follow a piece in a word that one can pronounce. */
static const char *followers(const struct mk_token *piece)
{
    char last = piece->text[piece->len - 1];
    char before = '\0';

    if (piece->len > 1)
        before = piece->text[piece->len - 2];
    if (!is_letter(last)) /* the word start */
        return "abcdefghijklmnoprstuvwyz";
    if (is_vowel(last))
        return is_vowel(before) ? "bdklmnprstvz" : "bcdfghklmnprstvwzio";
    if (!is_letter(before))
        return strchr("bcdfgkpst", last) != NULL ? "aeiourl" : "aeiou";
    if (!is_vowel(before))
        return "aeiou";
    return "aeiouysth";
}

/* Every piece is visited once and has children behind it, so the walk does not
 * run dry: about three of the followers are taken. */
static void grow_pieces(struct vocab *v)
{
    struct mk_rng rng;

    mk_rng_seed(&rng, 2581);
    for (uint32_t i = MK_FIRST_CHAR; i < v->count && v->count < v->want; i++) {
        struct mk_token piece = v->tokens[i];
        bool whole_word = (uint8_t)piece.text[0] == 0xe2;
        const char *letters = followers(&piece);

        if (piece.len >= (whole_word ? LONGEST_WORD : LONGEST_TAIL) ||
            !(whole_word || is_letter(piece.text[0])))
            continue;
        for (; *letters != '\0'; letters++) {
            piece.text[piece.len] = *letters;
            if (piece.len == WORD_START_LEN || mk_rng_next(&rng) % 100 < 35)
                add(v, piece.text, piece.len + 1u, NORMAL);
        }
    }
}

struct mk_token *mk_vocab_new(uint32_t count)
{
    struct vocab v = {.want = count, .slot_mask = 1};

    while (v.slot_mask < 2 * count)
        v.slot_mask = 2 * v.slot_mask + 1;
    v.tokens = mk_alloc(count, sizeof(v.tokens[0]));
    v.slots = mk_alloc((size_t)v.slot_mask + 1, sizeof(v.slots[0]));
    add_specials(&v);
    add_common_words(&v);
    grow_pieces(&v);
    free(v.slots);
    if (v.count != v.want)
        mk_die(MK_FAILED,
               "the vocabulary ends at %u tokens, --vocab wants %u; "
               "choose a smaller --vocab",
               v.count, v.want);
    return v.tokens;
}

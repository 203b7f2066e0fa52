# SPDX-License-Identifier: Apache-2.0
"""The closed-vocabulary tokenizer of models trained here."""

from transformers import CLIPTokenizerFast

from clipseg_ros.training.tokenizer import build, learn_merges, words_of

TEXTS = ["red mug", "Something to sit on", "sitting", "a thing with wheels"]


def test_every_word_is_one_token_between_start_and_end():
    tokenizer = build(words_of(TEXTS))
    assert all(len(tokenizer(word)["input_ids"]) == 3 for word in words_of(TEXTS))


def test_the_saved_folder_gives_the_same_ids(tmp_path):
    tokenizer = build(words_of(TEXTS))
    tokenizer.save_pretrained(tmp_path)
    assert CLIPTokenizerFast.from_pretrained(tmp_path)(TEXTS)["input_ids"] == tokenizer(TEXTS)["input_ids"]


def test_an_unknown_word_falls_to_pieces_instead_of_becoming_the_end_token():
    tokenizer = build(words_of(TEXTS))
    ids = tokenizer("zebra")["input_ids"]
    assert len(ids) > 3 and tokenizer.eos_token_id not in ids[:-1]


def test_the_end_token_is_the_highest():
    tokenizer = build(words_of(TEXTS))
    assert tokenizer.eos_token_id == len(tokenizer) - 1


def test_words_are_lower_case_distinct_and_sorted():
    assert words_of(["Red mug", "red-hot"]) == ["hot", "mug", "red"]


def test_the_ids_do_not_depend_on_the_order_of_the_words():
    words = words_of(TEXTS)
    assert learn_merges(words) == learn_merges(reversed(words))


def test_the_most_frequent_pair_is_merged_first():
    assert learn_merges(["ab", "abc", "abd"])[0] == ("a", "b")

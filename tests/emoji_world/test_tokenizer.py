import pytest
from transformers import AutoTokenizer, CLIPTokenizer

from emoji_world.tokenizer import MAX_LENGTH, save_language_tokenizer, save_tokenizer, world_words


@pytest.fixture(scope="module")
def clip_tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def test_each_word_of_the_world_is_one_token(clip_tokenizer):
    for word in world_words():
        assert len(clip_tokenizer(word).input_ids) == 3, word


def test_any_text_has_tokens_and_none_is_unknown(clip_tokenizer):
    ids = clip_tokenizer("Spiderman, naïve 🐱 + 日本").input_ids
    assert clip_tokenizer.eos_token_id not in ids[1:-1]
    assert clip_tokenizer.decode(ids, skip_special_tokens=True).startswith("spiderman , naïve")


def test_prompts_are_padded_with_the_end(clip_tokenizer):
    ids = clip_tokenizer("a cat", padding="max_length", truncation=True).input_ids
    assert len(ids) == MAX_LENGTH
    assert ids[4:] == [clip_tokenizer.eos_token_id] * (MAX_LENGTH - 4)


def test_the_language_tokenizer_gives_text_back(tmp_path):
    save_language_tokenizer(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("a neon picture of a fox in a city").input_ids
    assert len(ids) == 9
    assert tokenizer.decode(ids) == "a neon picture of a fox in a city"

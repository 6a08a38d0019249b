import pytest

from flows.remote.secret import hidden


def test_secrets_are_hidden_and_other_words_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter-two-and-more")
    monkeypatch.setenv("GITHUB_TOKEN", "ghp_0123456789")
    monkeypatch.setenv("HF_TOKEN", "on")  # hides more words than secrets
    monkeypatch.setenv("TAV_DEVICE", "cuda:1")
    said = "fatal: https://me:pass@git.org/x: hunter-two-and-more ghp_0123456789 on cuda:1 a@b.org"
    assert hidden(said) == "fatal: https://***@git.org/x: *** *** on cuda:1 a@b.org"

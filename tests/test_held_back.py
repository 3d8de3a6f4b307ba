"""What libraries write below Python on standard error: shown only if there was an error."""

import os

import pytest

from pix2pix_tf.held_back import errors_held_back


def noise(words):
    os.write(2, words)  # as C++ does, past sys.stderr


def test_noise_of_what_succeeds_is_not_shown(capfd):
    with errors_held_back():
        noise(b"fully_quantize: 0\n")
    noise(b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_noise_of_what_fails_is_shown_before_the_error(capfd):
    def convert():
        with errors_held_back():
            noise(b"error: 'tf.Foo' op is neither a custom op nor a flex op\n")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        convert()
    noise(b"after\n")
    shown = "error: 'tf.Foo' op is neither a custom op nor a flex op\nafter\n"
    assert capfd.readouterr().err == shown


def test_a_closed_standard_error_is_no_error(monkeypatch):
    monkeypatch.setattr("sys.stderr", None)
    with errors_held_back():
        pass

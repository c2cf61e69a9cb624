"""The registry of variants: metadata without importing torch, and correct marks of prior settings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from detectors.registry import VARIANTS, variant_summaries
from detectors.search_range import PriorSetting


def test_summaries_read_from_the_files_are_those_that_the_files_register():
    expected = [(v.name, v.summary, v.source) for v in VARIANTS.values()]
    assert variant_summaries() == expected
    assert all(summary and source for _, summary, source in expected)


def test_listing_variants_and_external_models_does_not_import_torch():
    code = (
        "import sys; from detectors.registry import variant_summaries; "
        "from detectors.external.registry import external_model, external_model_names; "
        "print(len(variant_summaries()), [external_model(n).summary for n in external_model_names()]); "
        "assert not {'torch', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("code", "summary"),
    [
        (
            '@variant(name="mine", config=C, source="Acme")\ndef build(c, n):\n    """Mine: finds."""\n',
            "Mine: finds",
        ),
        ('@registry.variant("mine", C, "Acme")\ndef build(c, n):\n    """Mine."""\n', "Mine"),
        ('@variant("other", config=C, source="Acme")\ndef build(c, n):\n    """Other."""\n', None),
        ("SOURCE = 'Acme'\n@variant('mine', config=C, source=SOURCE)\ndef build(c, n): ...\n", None),
        ("@cache\n@variant.of\ndef build(c, n): ...\n", None),
    ],
)
def test_a_file_is_parsed_only_in_the_documented_form(code, summary, tmp_path, monkeypatch):
    from detectors.registry import _parse

    (tmp_path / "acme_variant.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    found = _parse("mine", "acme_variant")
    assert (None if found is None else (found.summary, found.source)) == (summary and (summary, "Acme"))
    assert "acme_variant" not in sys.modules
    assert _parse("mine", None) is None


@pytest.mark.parametrize("name", [name for name in VARIANTS.names() if VARIANTS[name].priors])
def test_the_settings_that_the_priors_depend_on_are_marked(name):
    """The oracle records what the function reads. `levels` changes the network, too."""
    known = VARIANTS[name]
    config, read = known.config(), set()

    class Recorder:
        def __getattr__(self, setting):
            read.add(setting)
            return getattr(config, setting)

    assert known.priors is not None
    known.priors(Recorder(), [8 * 2**k for k in range(config.levels)])
    if known.prior_settings:
        assert read - {"levels"} == set(known.prior_settings)
    else:
        assert read <= {"grid"}  # the position of points; they have no shape
    assert all(not isinstance(mark, PriorSetting) for mark in known.config.model_fields["levels"].metadata)

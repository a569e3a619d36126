"""The scores of the real sacreBLEU, which src/metrics/translation is compared with.

Usage: python3 sacrebleu_check.py < questions.json > answers.json
       python3 sacrebleu_check.py --golden golden.json    (then: npx prettier --write golden.json)

A question holds `cases`, each of `hypotheses` and `references` (a list of references for every segment), `settings`, each
of a metric, and `paired`, two systems, resamples and settings of their own. The second use writes the cases below with their scores, so that
they are compared where there is no sacreBLEU, too. Needs sacrebleu 2.6.0 (pip install sacrebleu==2.6.0).
"""

import json
import random
import sys
from itertools import zip_longest
from unittest import mock

import numpy as np
import sacrebleu
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

# Hypothesis, then references.
SEGMENTS = [
    ["The cat sat on the mat.", "The cat sat on the mat."],
    ["the cat sat on a mat", "The cat sat on the mat."],
    ["The the the the the the the.", "The cat is on the mat.", "There is a cat on the mat."],
    ["It cost 1,000.5 euros in 2019.", "It cost 1,000.50 euros, in 2019."],
    ["Version 2.0-beta, see p.5,6 -- 3-4 times.", "Version 2.0 beta; see pp. 5, 6: 3-4 times."],
    [".5 ,5 5. 5, 5.a a.5 1-2-a", ". 5 , 5 5 . 5 , 5 . a a . 5 1 - 2 - a"],
    ["&quot;Tom &amp; Jerry&quot; &lt;b&gt; &amp;lt; &apos;", "\"Tom & Jerry\" <b> &lt; '"],
    ["<skipped> a-\nb c\nd - \n", "ab c d -"],
    ["", "An empty hypothesis."],
    ["An empty reference", ""],
    ["", ""],
    ["   \t ", "white space alone"],
    ["Yes", "Yes"],
    ["Yes", "No"],
    ["Oui !", "Oui !"],
    ["a b c", "a b c"],
    ["!", "!"],
    ["(hi) \"there\", 'you'... [x] ?!", "(hi) “there”, ‘you’… [x] ?!"],
    ["don't rock 'n' roll-over the state-of-the-art", "do not rock ’n’ roll over the state of the art"],
    ["Die Straße ist GROSS; STRASSE", "die strasse ist groß; Straße"],
    ["İstanbul'da IŞIK ışık", "istanbul'da işik ışık"],
    ["ΟΔΥΣΣΕΥΣ ΣΑΣ.", "οδυσσευς σας."],
    ["L’été, ça coûte 3 €/kg — n’est-ce pas ?", "L'été, ça coûte 3€ le kg — n'est-ce pas ?"],
    ["¿Qué? ¡Sí! «¡No!»", "¿Qué? ¡No! «¡Sí!»"],
    ["Привет, мир! Это №5.", "Привет, мир! Это № 5."],
    ["مرحبا، كيف حالك؟ ١٢٫٥", "مرحبا ، كيف الحال؟ ١٢٫٥٠"],
    ["我在北京的2008年奥运会,看了iPhone 4.0。", "我在北京2008年奥运会上看了 iPhone 4.0。"],
    ["“引号”——破折号……全角ＡＢＣ，１２３！", "“引号”—破折号…全角ABC，123！"],
    ["𠀀𠀁𠀂 丽 → ∑ ≈ ⿰", "𠀀𠀁𠀃 丽 → ∑ ≠ ⿱"],
    ["変数 'x' は宣言されていません。", "変数 'x' が宣言されていません。"],
    ["변수 'x'가 선언되지 않았습니다.", "변수 'x'를 선언하지 않았습니다."],
    ["Well done 👍🏽 👨‍👩‍👧‍👦 🇩🇪!", "Well done 👍 👨‍👩‍👧 🇩🇪!"],
    ["a\u00a0b\u2009c\u3000d\u0085e\u001cf", "a b c d e f"],
    ["\ufeffmark a\u200bb a\u00adb", "mark ab ab"],
    ["e\u0301 cafe\u0301", "é café"],
    ["Type '{0}' is not assignable to type '{1}'.", "Type \"{0}\" can't be assigned to type \"{1}\"."],
    ["$100 + 50% = ~$150 @home #1 a_b C++ c:\\dir x^2 `y` |z|", "100$ + 50 % = $150 @ home # 1 a_b C + + c: dir x²"],
    ["a . b , c ; d .", "a. b, c; d."],
    ["  .5 since 2019.  ", ".5 since 2019 ."],
    ["cut-\n", "cut -"],
    ["word " * 30, "word " * 20],
    ["one two three four five", "five four three two one", "one two three", "one two three four five six seven"],
]

WORDS = "the a of is , . ! 1,5 2.0 cat dog Haus über naïve 漢 字 '{0}' (x) — x-y &amp; € 😀".split()


def random_cases(generator, count):
    """Corpora of up to six segments whose hypotheses are references with words left out, doubled, moved and replaced."""
    cases = []
    for _ in range(count):
        segments = []
        for _ in range(generator.randint(1, 6)):
            references = [
                [generator.choice(WORDS) for _ in range(generator.choice([0, 1, 2, 3, 5, 8, 20]))]
                for _ in range(generator.choice([1, 1, 2]))
            ]
            hypothesis = []
            for word in references[0]:
                hypothesis += generator.choice([[], [word], [word], [word], [word, word], [generator.choice(WORDS)]])
            if generator.random() < 0.3:
                generator.shuffle(hypothesis)
            segments.append([generator.choice(["", " "]).join(words) for words in [hypothesis, *references]])
        cases.append(case_of(segments))
    return cases


def case_of(segments):
    return {"hypotheses": [first for first, *_ in segments], "references": [rest for _, *rest in segments]}


def metric_of(setting):
    """The metric of sacreBLEU's for what options are called there."""
    if setting["metric"] == "bleu":
        return BLEU(
            tokenize=setting.get("tokenize", "13a"),
            lowercase=setting.get("lowercase", False),
            effective_order=setting.get("effectiveOrder", False),
        )
    return CHRF(word_order=setting.get("wordOrder", 0), lowercase=setting.get("lowercase", False))


def streams(references):
    """From references by segment to sacreBLEU's: first references, second ones, ..., None where there is none."""
    return [list(stream) for stream in zip_longest(*references)]


def answer(case, setting):
    metric, references = metric_of(setting), streams(case["references"])
    statistics = metric._extract_corpus_statistics(case["hypotheses"], references)
    score = metric.corpus_score(case["hypotheses"], references)
    signature = str(metric.get_signature())
    found = {
        "score": score.score,
        "signature": signature,
        "line": score.format(signature=signature),
        "statistics": statistics,
    }
    if setting["metric"] == "bleu":
        found["tokens"] = [metric._preprocess_segment(text).split() for text in case["hypotheses"]]
    return found


class Given:
    """A generator of random numbers that draws what it is told to."""

    def __init__(self, resamples):
        self.resamples = np.array(resamples)

    def choice(self, segments, size, replace):
        assert replace and self.resamples.shape == size and self.resamples.max() < segments
        return self.resamples


def paired(question, setting, resamples=None):
    """Score, p-value, mean and half the interval of both systems: of given resamples, or of sacreBLEU's own."""
    generator = np.random.default_rng if resamples is None else lambda seed: Given(resamples)
    with mock.patch.object(np.random, "default_rng", generator):
        systems = [(name, question[name]) for name in ("baseline", "system")]
        count = 1000 if resamples is None else len(resamples)
        references = streams(question["references"])
        _, scores = PairedTest(systems, {"it": metric_of(setting)}, references, "bs", n_samples=count)()
    results = next(results for name, results in scores.items() if name != "System")
    keys = ("score", "p_value", "mean", "ci")
    # NumPy's numbers as Python's; the baseline has no p-value.
    return [{key: None if getattr(r, key) is None else float(getattr(r, key)) for key in keys} for r in results]


def golden():
    settings = [{"metric": "bleu", "tokenize": name} for name in ("13a", "none", "char", "intl", "zh")]
    settings += [{"metric": "bleu", "lowercase": True}, {"metric": "bleu", "effectiveOrder": True}]
    settings += [{"metric": "chrf", "wordOrder": order} for order in (0, 2)]
    settings += [{"metric": "chrf", "wordOrder": 2, "lowercase": True}]
    single = [[hypothesis, reference] for hypothesis, reference, *_ in SEGMENTS]
    cases = [case_of(single), case_of(SEGMENTS)]
    cases += [case_of([segment]) for segment in SEGMENTS]
    cases += random_cases(random.Random(7), 60)
    for index, case in enumerate(cases):
        answers = [answer(case, setting) for setting in settings]
        case["scores"] = [each["score"] for each in answers]
        case["lines"] = [each["line"] for each in (answers if index < 2 else answers[:1])]
    return {"version": sacrebleu.__version__, "settings": settings, "cases": cases}


def main():
    if sys.argv[1:2] == ["--golden"]:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            json.dump(golden(), file, indent=1)
        return
    question = json.load(sys.stdin)
    settings = question["settings"]
    json.dump(
        {
            "cases": [[answer(case, setting) for setting in settings] for case in question["cases"]],
            "paired": [
                {
                    "given": paired(question["paired"], setting, question["paired"]["resamples"]),
                    "own": paired(question["paired"], setting),
                }
                for setting in question["paired"]["settings"]
            ],
            "spaces": [code for code in range(0x110000) if chr(code).isspace()],
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()

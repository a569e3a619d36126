"""The pieces that Hugging Face's tokenizers finds, which fathom's are compared with.

Usage: python3 tokenizers_check.py < questions.json > answers.json

A question holds `files`, each the text of a tokenizer.json, and `texts`. The answer holds `ids` and `texts`, for each
file those of every text: its ids, and what they are decoded to. Needs tokenizers 0.23.3 (pip install tokenizers==0.23.3).
"""

import json
import sys

from tokenizers import Tokenizer

question = json.load(sys.stdin)
answer = {"ids": [], "texts": []}
for file in question["files"]:
    tokenizer = Tokenizer.from_str(file)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in question["texts"]]
    answer["ids"].append(ids)
    answer["texts"].append([tokenizer.decode(of_text, skip_special_tokens=False) for of_text in ids])
json.dump(answer, sys.stdout)

"""The ways of steering a frozen codec that TransTIC is compared with, as adapters of the same base."""

METHODS = {
    "prompts": {"name": "transtic"},
    "sfma": {"name": "sfma"},
    "sft": {"name": "sft"},
    "full": {},  # no adapter: the whole codec is trained
}

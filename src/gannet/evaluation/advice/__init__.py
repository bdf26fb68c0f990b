"""Advice on methods and lengths of codes, measured on a sample of someone's own data."""

from gannet.evaluation.advice.advising import Advice, advise
from gannet.evaluation.advice.candidate import Candidate
from gannet.evaluation.advice.labels import read_labels
from gannet.evaluation.advice.recommendation import Recommendation
from gannet.evaluation.advice.sampled import Sampled, read_sampled

__all__ = ["Advice", "Candidate", "Recommendation", "Sampled", "advise", "read_labels", "read_sampled"]

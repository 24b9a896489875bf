"""Experiments of many training runs."""

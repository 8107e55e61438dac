"""Ranges measured on data."""

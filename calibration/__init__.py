"""Ranges measured on data, post-training quantisation, the search for the least precision: none of it is here yet."""

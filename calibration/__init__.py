"""Ranges measured on data, post-training quantisation, the search for the least precision: the place is kept for them."""

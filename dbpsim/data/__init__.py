"""Data that ships with the package: ``digits.npz``, a small real set for runs without a network.

1,797 handwritten digits, 8 x 8 pixels of 0 .. 16 (the number of set pixels in a 4 x 4 block of a 32 x 32
bitmap), from 13 writers: the test part of the UCI set "Optical Recognition of Handwritten Digits" (Alpaydin
and Kaynak 1998, doi 10.24432/C50P49) in the copy that scikit-learn ships (``sklearn.datasets.load_digits``,
1.9.1), re-packed as two arrays, ``images`` uint8 (1797, 8, 8) and ``labels`` uint8 (1797,), in
scikit-learn's order, with ``numpy.savez_compressed``.  Licences: ``digits_LICENSE.txt``.
"""

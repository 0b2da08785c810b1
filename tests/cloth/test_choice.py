from garments import catalog
from synth.cloth.choice import best, best_solver, measured


def figures(accepted, wrinkle):
    return {"accepted": accepted, "wrinkle": wrinkle}


def test_what_passes_most_is_taken_and_of_equals_what_folds_most():
    """Mutations: least wrinkles; acceptance second."""
    assert best({"cloth": figures(0.5, 9.0), "softbody": figures(1.0, 1.0)}) == "softbody"
    assert best({"cloth": figures(1.0, 3.0), "softbody": figures(1.0, 4.0)}) == "softbody"
    assert best({"cloth": figures(1.0, 4.0), "softbody": figures(1.0, 4.0)}) == "cloth"


def test_the_table_names_garments_and_both_solvers():
    for name, found in measured().items():
        assert name in catalog.names()
        assert found.keys() == {"cloth", "softbody"}
        assert all(0 <= each["accepted"] <= 1 and each["wrinkle"] > 0 for each in found.values())


def test_a_garment_that_nobody_measured_is_cloth():
    assert best_solver("kilt of somebody") == "cloth"

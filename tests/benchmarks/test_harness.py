import json

from benchmarks.harness import Sample, environment, ratio_of, run_interleaved, write_result


def test_cases_take_turns_and_warm_up_is_thrown_away(capsys):
    calls = []

    def case(name):
        def measure():
            calls.append(name)
            return float(len(calls))

        return measure

    samples = run_interleaved({"a": case("a"), "b": case("b")}, rounds=2, warmup=1)
    assert sorted(calls[:2]) == sorted(calls[2:4]) == sorted(calls[4:]) == ["a", "b"]
    assert calls[2] != calls[4], "every round starts with another case"
    assert set(samples["a"].values + samples["b"].values) == {3.0, 4.0, 5.0, 6.0}


def test_median_and_spread():
    sample = Sample((10.0, 20.0, 30.0))
    assert sample.to_json() == {"median": 20.0, "spread": 1.0, "values": [10.0, 20.0, 30.0]}


def test_a_ratio_compares_within_a_round():
    # The machine was twice as slow in the second round; the case is 1.5 times the other in each.
    samples = {"case": Sample((300.0, 150.0, 300.0)), "other": Sample((200.0, 100.0, 200.0))}
    assert ratio_of(samples, "case", "other") == 1.5


def test_the_result_names_the_machine_and_the_versions(tmp_path):
    described = environment(["numpy"])
    write_result(tmp_path / "folder" / "result.json", {"environment": described})
    read = json.loads((tmp_path / "folder" / "result.json").read_text())["environment"]
    assert read["cores"] >= 1
    assert read["cpu"]
    assert read["versions"]["numpy"]

"""READ FIRST: one plan over many nodes, finished whatever dies on the way.

    plan        a file with one job a line: spec, attributes, estimated cost                (render_farm.plan)
    store       where shards, logs and the farm's records lie: a folder, an object store     (render_farm.store)
    records     failures, claims and the drivers' reports, all on the store                 (render_farm.records)
    board       what of a plan is done, refused, failing, quarantined: read from the store  (render_farm.board)
    driver      hands out jobs, a few more than there are slots, until the store is complete (render_farm.driver)
    cluster     who does them: this machine, hosts over TLS, a batch system, pods           (render_farm.cluster)
    job         what a node does: one process a job, with limits, claim, log and commit     (render_farm.job)
    collect     checks every shard and writes the manifest                                  (render_farm.collect)

The store is the only truth. Drivers, schedulers and workers remember nothing that is not on it, so any of them may die.
"""

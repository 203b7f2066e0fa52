# SPDX-License-Identifier: Apache-2.0
"""Open-vocabulary segmentation for ROS 2: cameras and words in, masks and scores out.

Data flows one way: message -> frame -> engine -> segmentation -> message.

    segmentation  the nouns: Frame, Prompt, Support, Segmentation
    queries       the language of `seg_query`, affordances, examples -> prompts with stable ids
    encodings     pixels of image messages -> RGB
    masks         pure array functions: scores at the image's size, components, palette, overlay
    surfaces      points of masked pixels in metres; where a thing is and how large
    video         all that is remembered from frame to frame: scores smoothed along the motion
    crf           dense CRF: scores drawn to the edges of the image
    models        networks: tensors in, logits out; weights and where they are found; visual prompts
    engines       an image and prompts in, a Segmentation out; `engines.create` is the one door
    datasets      images with prompts and truth, read from the user's folders; `tabletop` renders them
    evaluation    metrics: integer counts in, ratios out; the papers' benchmarks
    training      the loop, the papers' recipes and that of the demo model
    ros           parameters, conversions, node, camera, client: the only room that knows ROS
    tools         the commands of `python -m clipseg_ros`
    data          the demo model, affordances, the papers' published numbers
"""

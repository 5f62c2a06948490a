// SPDX-License-Identifier: GPL-2.0-only
/*
 * Hang panthor's platform device on a PCI function.
 *
 * panthor binds to a platform device that is described by the device tree. An emulated Mali CSF
 * GPU comes as PCI function 13b5:0c5f: BAR 0 is the GPU's register block and the first three
 * MSI(-X) vectors are its job, mmu and gpu interrupt lines. This driver makes the platform device
 * out of both halves: resources from the function, everything else from an overlay
 * (panthor_gpu.dtso). panthor itself is not changed and cannot tell the difference.
 *
 * When the boot device tree has /panthor-shim already (fdtoverlay -i board.dtb panthor_gpu.dtbo),
 * no overlay is applied, so kernels without CONFIG_OF_OVERLAY can be used too.
 *
 * A machine may have several of these functions. Each has nodes, a clock and a supply of its own: the second one those
 * whose names begin with "panthor-shi1" where the first one's do with "panthor-shim".
 *
 * BAR 0 is not requested here: panthor requests the window itself and would find it busy. The clock is made
 * here, so that the emulated GPU can tell when it is used without one: real ones do not answer then.
 */

#include <linux/clk-provider.h>
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/ioport.h>
#include <linux/module.h>
#include <linux/of.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/stringify.h>

#include "fence_irq.h"

#define PANTHOR_PCI_VENDOR	0x13b5	/* Arm */
#define PANTHOR_PCI_DEVICE	0x0c5f	/* "CSF": not assigned, only the emulated GPU has it */
#define PANTHOR_PCI_VECTORS	3
#define PANTHOR_PCI_CLOCK	0x54	/* in the vendor-specific capability: whether the clock runs */
#define PANTHOR_PCI_CLOCK_RUNS	1
#define PANTHOR_PCI_CLOCK_STOPPED	2
#define PANTHOR_PCI_COHERENT	0x55	/* there, too: 1 if the board's GPU is dma-coherent */
#define PANTHOR_PCI_CLOCK_HZ	1000000000
#define PANTHOR_PCI_MOST	10	/* functions: their number is one digit */
#define PANTHOR_PCI_NODES	"panthor-shim"	/* how all names in the overlay begin */

/* From panthor_gpu.dtbo.o; the kernel's rule names them after the file. */
extern const u8 __dtbo_panthor_gpu_begin[];
extern const u8 __dtbo_panthor_gpu_end[];

static DEFINE_IDA(panthor_pci_numbers);

static bool coherent;
module_param(coherent, bool, 0444);
MODULE_PARM_DESC(coherent, "Describe the GPU as dma-coherent (default: if the function says that it is)");

/**
 * struct panthor_pci - One GPU
 * @pdev: the function
 * @number: of all functions that this driver has, from 0
 * @coherent: whether the GPU is described as dma-coherent
 * @clock: the GPU's core clock, of which the function is told when it runs
 * @clock_node: in the device tree
 * @gpu: the platform device panthor binds to
 * @overlay: id of the applied overlay, 0 when the boot device tree has the nodes
 */
struct panthor_pci {
	struct pci_dev *pdev;
	int number;
	bool coherent;
	struct clk_hw clock;
	struct device_node *clock_node;
	struct platform_device *gpu;
	int overlay;
};

static int panthor_pci_clock_prepare(struct clk_hw *clock)
{
	struct panthor_pci *shim = container_of(clock, struct panthor_pci, clock);

	pci_write_config_byte(shim->pdev, PANTHOR_PCI_CLOCK, PANTHOR_PCI_CLOCK_RUNS);
	return 0;
}

static void panthor_pci_clock_unprepare(struct clk_hw *clock)
{
	struct panthor_pci *shim = container_of(clock, struct panthor_pci, clock);

	pci_write_config_byte(shim->pdev, PANTHOR_PCI_CLOCK, PANTHOR_PCI_CLOCK_STOPPED);
}

static unsigned long panthor_pci_clock_rate(struct clk_hw *clock, unsigned long parent_rate)
{
	return PANTHOR_PCI_CLOCK_HZ;
}

static const struct clk_ops panthor_pci_clock_ops = {
	.prepare = panthor_pci_clock_prepare,
	.unprepare = panthor_pci_clock_unprepare,
	.recalc_rate = panthor_pci_clock_rate,
};

/* How the names of this function's nodes begin. */
static void panthor_pci_rename(const struct panthor_pci *shim, char *name)
{
	if (shim->number)
		name[strlen(PANTHOR_PCI_NODES) - 1] = '0' + shim->number;
}

static struct device_node *panthor_pci_find(const struct panthor_pci *shim, const char *rest)
{
	char path[64];

	snprintf(path, sizeof(path), "/" PANTHOR_PCI_NODES "%s", rest);
	panthor_pci_rename(shim, path + 1);
	return of_find_node_by_path(path);
}

static int panthor_pci_add_clock(struct panthor_pci *shim)
{
	char name[] = PANTHOR_PCI_NODES "-core";
	const struct clk_init_data init = { .name = name, .ops = &panthor_pci_clock_ops };
	int ret;

	panthor_pci_rename(shim, name);
	shim->clock_node = panthor_pci_find(shim, "-clock");
	if (!shim->clock_node)
		return -ENODEV;
	shim->clock.init = &init;
	ret = clk_hw_register(NULL, &shim->clock);
	if (ret)
		goto err_node;
	ret = of_clk_add_hw_provider(shim->clock_node, of_clk_hw_simple_get, &shim->clock);
	if (ret)
		goto err_clock;
	return 0;

err_clock:
	clk_hw_unregister(&shim->clock);
err_node:
	of_node_put(shim->clock_node);
	return ret;
}

static void panthor_pci_del_clock(struct panthor_pci *shim)
{
	of_clk_del_provider(shim->clock_node);
	clk_hw_unregister(&shim->clock);
	of_node_put(shim->clock_node);
}

static struct device_node *panthor_pci_find_node(const struct panthor_pci *shim)
{
	return panthor_pci_find(shim, shim->coherent ? "/gpu-coherent" : "/gpu");
}

/* The overlay, with this function's names in place of the first one's, which are as long. */
static int panthor_pci_apply_overlay(struct panthor_pci *shim)
{
	const size_t size = __dtbo_panthor_gpu_end - __dtbo_panthor_gpu_begin;
	const size_t length = strlen(PANTHOR_PCI_NODES);
	char *blob, *at;
	int ret;

	blob = kmemdup(__dtbo_panthor_gpu_begin, size, GFP_KERNEL);
	if (!blob)
		return -ENOMEM;
	for (at = blob; at + length <= blob + size; at++)
		if (!memcmp(at, PANTHOR_PCI_NODES, length))
			panthor_pci_rename(shim, at);
	ret = of_overlay_fdt_apply(blob, size, &shim->overlay, NULL);
	kfree(blob);
	return ret;
}

static struct device_node *panthor_pci_get_node(struct pci_dev *pdev, struct panthor_pci *shim)
{
	struct device_node *node = panthor_pci_find_node(shim);
	int ret;

	if (node)
		return node;

	ret = panthor_pci_apply_overlay(shim);
	if (ret) {
		dev_err(&pdev->dev, "device tree overlay not applied: %d\n", ret);
		/* A half applied overlay has an id and must be removed. */
		if (shim->overlay)
			of_overlay_remove(&shim->overlay);
		return ERR_PTR(ret);
	}

	node = panthor_pci_find_node(shim);
	return node ?: ERR_PTR(-ENODEV);
}

static struct platform_device *panthor_pci_register(struct pci_dev *pdev, struct device_node *node)
{
	struct resource *bar = &pdev->resource[0];
	struct resource res[] = {
		DEFINE_RES_MEM_NAMED(bar->start, resource_size(bar), "mali-gpu"),
		DEFINE_RES_IRQ_NAMED(pci_irq_vector(pdev, 0), "job"),
		DEFINE_RES_IRQ_NAMED(pci_irq_vector(pdev, 1), "mmu"),
		DEFINE_RES_IRQ_NAMED(pci_irq_vector(pdev, 2), "gpu"),
	};
	struct platform_device_info info = {
		.parent = &pdev->dev,
		.fwnode = of_fwnode_handle(node),
		.name = "mali-gpu",
		.id = PLATFORM_DEVID_AUTO,
		.res = res,
		.num_res = ARRAY_SIZE(res),
		.dma_mask = DMA_BIT_MASK(32),	/* panthor widens it to what the MMU reports */
	};

	res[0].parent = bar;
	return platform_device_register_full(&info);
}

static bool panthor_pci_says_coherent(struct pci_dev *pdev)
{
	u8 says = 0;

	pci_read_config_byte(pdev, PANTHOR_PCI_COHERENT, &says);
	return says == 1;	/* ~0 if it cannot be read */
}

static int panthor_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct panthor_pci *shim;
	struct device_node *node;
	int ret;

	shim = devm_kzalloc(&pdev->dev, sizeof(*shim), GFP_KERNEL);
	if (!shim)
		return -ENOMEM;
	shim->pdev = pdev;
	shim->coherent = coherent || panthor_pci_says_coherent(pdev);
	shim->number = ida_alloc_max(&panthor_pci_numbers, PANTHOR_PCI_MOST - 1, GFP_KERNEL);
	if (shim->number < 0)
		return shim->number;

	ret = pci_enable_device_mem(pdev);
	if (ret)
		goto err_number;

	pci_set_master(pdev);
	ret = pci_alloc_irq_vectors(pdev, PANTHOR_PCI_VECTORS, PANTHOR_PCI_VECTORS,
				    PCI_IRQ_MSIX | PCI_IRQ_MSI);
	if (ret < 0) {
		dev_err(&pdev->dev, "no %d MSI vectors: %d\n", PANTHOR_PCI_VECTORS, ret);
		goto err_disable;
	}

	node = panthor_pci_get_node(pdev, shim);
	if (IS_ERR(node)) {
		ret = PTR_ERR(node);
		goto err_vectors;
	}

	ret = panthor_pci_add_clock(shim);
	if (ret) {
		of_node_put(node);
		goto err_overlay;
	}

	shim->gpu = panthor_pci_register(pdev, node);
	of_node_put(node);
	if (IS_ERR(shim->gpu)) {
		ret = PTR_ERR(shim->gpu);
		goto err_clock;
	}

	pci_set_drvdata(pdev, shim);
	dev_info(&pdev->dev, "%s: registers at %pR, %scoherent\n", dev_name(&shim->gpu->dev),
		 &pdev->resource[0], shim->coherent ? "" : "not ");
	return 0;

err_clock:
	panthor_pci_del_clock(shim);
err_overlay:
	if (shim->overlay)
		of_overlay_remove(&shim->overlay);
err_vectors:
	pci_free_irq_vectors(pdev);
err_disable:
	pci_clear_master(pdev);
	pci_disable_device(pdev);
err_number:
	ida_free(&panthor_pci_numbers, shim->number);
	return ret;
}

static void panthor_pci_remove(struct pci_dev *pdev)
{
	struct panthor_pci *shim = pci_get_drvdata(pdev);

	platform_device_unregister(shim->gpu);
	panthor_pci_del_clock(shim);
	if (shim->overlay)
		of_overlay_remove(&shim->overlay);
	pci_free_irq_vectors(pdev);
	pci_clear_master(pdev);
	pci_disable_device(pdev);
	ida_free(&panthor_pci_numbers, shim->number);
}

static const struct pci_device_id panthor_pci_ids[] = {
	{ PCI_DEVICE(PANTHOR_PCI_VENDOR, PANTHOR_PCI_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, panthor_pci_ids);

static struct pci_driver panthor_pci_driver = {
	.name = "panthor_pci_shim",
	.id_table = panthor_pci_ids,
	.probe = panthor_pci_probe,
	.remove = panthor_pci_remove,
};

static int __init panthor_pci_init(void)
{
	int ret = pci_register_driver(&panthor_pci_driver);

	if (!ret)
		fence_irq_init();
	return ret;
}
module_init(panthor_pci_init);

static void __exit panthor_pci_exit(void)
{
	fence_irq_exit();
	pci_unregister_driver(&panthor_pci_driver);
}
module_exit(panthor_pci_exit);

MODULE_INFO(gpus, __stringify(PANTHOR_PCI_MOST));
MODULE_DESCRIPTION("PCI to platform shim for an emulated Mali CSF GPU");
MODULE_LICENSE("GPL");
